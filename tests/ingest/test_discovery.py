"""File discovery: which files a run covers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.discover import discover
from storage.errors import NotFoundError


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text", encoding="utf-8")
    return root


def names(*paths: Path | str) -> list[str]:
    found = discover(list(paths))
    root = Path(paths[0]).parent if Path(paths[0]).is_file() else Path(paths[0])
    return [
        file.path.relative_to(root).as_posix() if file.path.is_relative_to(root) else file.path.name
        for file in found.files
    ]


def test_a_tree_is_walked_in_order_without_what_is_no_document(tmp_path: Path) -> None:
    """Sorted; hidden folders, editors' litter and unknown formats are left out, the last counted."""
    tree(
        tmp_path,
        "b.md",
        "a/z.txt",
        "a/中文 ✓.md",
        ".git/config.md",
        "~$lock.docx",
        "._b.md",
        "photo.png",
        "x.PNG",
        "c.MD",
    )
    assert names(tmp_path) == ["a/z.txt", "a/中文 ✓.md", "b.md", "c.MD"]
    assert discover([tmp_path]).skipped == {".png": 2}


def test_winnowignore_has_the_rules_of_gitignore(tmp_path: Path) -> None:
    """In any folder; a deeper file can take back what an outer one leaves out."""
    tree(
        tmp_path,
        "keep.md",
        "draft-1.md",
        "notes/draft-2.md",
        "notes/keep.txt",
        "build/out.html",
        "deep/notes/x.txt",
    )
    (tmp_path / ".winnowignore").write_text("# drafts\ndraft-*\n/build/\nx.txt\n", encoding="utf-8")
    (tmp_path / "notes/.winnowignore").write_text("!draft-2.md\n", encoding="utf-8")
    assert names(tmp_path) == ["keep.md", "notes/draft-2.md", "notes/keep.txt"]
    assert discover([tmp_path]).skipped == {}


def test_links_out_of_the_tree_are_not_followed(tmp_path: Path) -> None:
    """Links within the tree count as files; those out of it, to nowhere, in a circle or to folders do not."""
    outside = tree(tmp_path / "outside", "secret.md")
    inside = tree(tmp_path / "inside", "real.md")
    (inside / "link.md").symlink_to(inside / "real.md")
    (inside / "out.md").symlink_to(outside / "secret.md")
    (inside / "folder").symlink_to(outside, target_is_directory=True)
    (inside / "nowhere.md").symlink_to(inside / "gone.md")
    (inside / "circle.md").symlink_to(inside / "circle.md")
    assert names(inside) == ["link.md", "real.md"]
    assert discover([inside]).skipped == {"(links out of the tree)": 3, "(links to folders)": 1}


def test_a_file_without_a_suffix_is_looked_into_and_the_others_are_listed(tmp_path: Path) -> None:
    """Text and known formats are taken; what nothing can read is in the report, by its path."""
    (tmp_path / "LICENSE").write_text("You may.")
    (tmp_path / "scan").write_bytes(b"%PDF-1.7 ...")
    (tmp_path / "core").write_bytes(b"\x7fELF" + bytes(200))
    (tmp_path / "tune.mp3").write_bytes(b"ID3")
    found = discover([tmp_path])
    assert [file.path.name for file in found.files] == ["LICENSE", "scan"]
    assert [Path(path).name for path in found.unsupported] == ["core", "tune.mp3"]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    """A file named explicitly is ingested whatever its suffix."""
    tree(tmp_path, "README", "log.txt")
    assert names(tmp_path / "README") == ["README"]


def test_patterns_are_expanded(tmp_path: Path) -> None:
    """A quoted glob pattern is expanded, and each file is taken once."""
    tree(tmp_path, "a.md", "b.md", "c.txt", "d/e.md")
    assert [file.path.name for file in discover([f"{tmp_path}/*.md", f"{tmp_path}/**/*.md"]).files] == [
        "a.md",
        "b.md",
        "e.md",
    ]
    with pytest.raises(NotFoundError, match="no file matches"):
        discover([f"{tmp_path}/*.pdf"])


def test_a_path_with_brackets_is_a_path_first(tmp_path: Path) -> None:
    """A file whose name looks like a pattern is that file."""
    tree(tmp_path, "notes [2024].md")
    assert [file.path.name for file in discover([tmp_path / "notes [2024].md"]).files] == ["notes [2024].md"]


def test_the_source_is_the_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document's source is its absolute path, however the path was given."""
    tree(tmp_path, "a/b.md")
    monkeypatch.chdir(tmp_path)
    sources = {
        file.source
        for path in ("a", "a/b.md", tmp_path / "a", "./a/../a/b.md")
        for file in discover([path]).files
    }
    assert sources == {(tmp_path / "a/b.md").as_posix()}


@pytest.mark.skipif(os.name == "nt", reason="paths have no such end there")
def test_a_folder_that_cannot_be_opened_is_counted_and_not_taken_for_empty(tmp_path: Path) -> None:
    """An unreadable folder (here: a path that is too long) is counted, and --prune spares its documents."""
    root = tree(tmp_path / "docs", "a.md")
    deep = root
    inside = os.open(root, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 240, dir_fd=inside)
        inside, outside = os.open("d" * 240, os.O_RDONLY, dir_fd=inside), inside
        os.close(outside)
        deep /= "d" * 240
    os.close(inside)
    found = discover([root])
    assert [file.path.name for file in found.files] == ["a.md"]
    assert found.skipped["(folders that cannot be opened)"] == 1
    assert not found.covers(f"{deep.as_posix()}/x.md")
    assert found.covers(f"{root.as_posix()}/gone.md")


def test_what_belongs_to_the_asked_paths(tmp_path: Path) -> None:
    """A sibling whose name has the same prefix does not belong to a given path."""
    found = discover([tree(tmp_path / "docs", "a.md")])
    assert found.covers(f"{tmp_path.as_posix()}/docs/gone.md")
    assert not found.covers(f"{tmp_path.as_posix()}/docs-old/gone.md")
