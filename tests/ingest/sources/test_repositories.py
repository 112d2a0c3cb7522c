"""Repositories of git are copied at a revision, and nothing that they name is run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ingest.sources import git
from ingest.sources.fetching import fetch
from ingest.sources.mirror import Mirror, origin_of
from storage.errors import BadInputError


def _repository(folder: Path) -> Path:
    def run(*arguments: str) -> None:
        who = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, "-C", folder, *arguments], check=True, capture_output=True)

    (folder / "docs").mkdir(parents=True)
    (folder / "docs/a b.md").write_text("# First\n\nOne.", encoding="utf-8")
    (folder / "root.txt").write_text("Root.", encoding="utf-8")
    (folder / "data.bin").write_bytes(b"\0")
    (folder / "link.md").symlink_to("/etc/hostname")
    run("init")
    run("add", ".")
    run("commit", "-m", "one")
    run("tag", "v1")
    (folder / "docs/a b.md").write_text("# First\n\nTwo.", encoding="utf-8")
    run("rm", "-q", "root.txt")
    run("commit", "-am", "two")
    return folder


def test_a_repository_is_copied_as_it_was_at_a_revision(tmp_path: Path, mirrors: Mirror) -> None:
    """Files of known formats, without links, of a tag or HEAD, of all or a folder; what left is removed."""
    repository = _repository(tmp_path / "repo")
    paths, _ = fetch(
        [f"git+file://{repository}@v1", f"git+file://{repository}"], mirrors.folder, private=False
    )
    old, new = paths
    assert (old / "docs/a b.md").read_text() == "# First\n\nOne."
    assert (old / "root.txt").exists()
    assert [path.name for path in new.rglob("*") if path.is_file() and ".fetched" not in path.parts] == [
        "a b.md"
    ]
    assert (new / "docs/a b.md").read_text() == "# First\n\nTwo."
    origin = origin_of(old / "docs/a b.md")
    assert origin is not None
    assert origin.url == f"git+file://{repository}@v1#docs/a b.md"
    (part,), _ = fetch([f"git+file://{repository}@v1#docs"], mirrors.folder, private=False)
    assert not (part / "root.txt").exists()
    for wrong in ("@nosuch", "@--output=x"):
        with pytest.raises(BadInputError):
            git.copy(git.Revision.parse(f"git+file://{repository}{wrong}"), mirrors)


def test_nothing_that_a_repository_names_is_run(
    tmp_path: Path, mirrors: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing object is not fetched by a command of its settings; filters and hooks stay unused."""
    repository, ran = _repository(tmp_path / "repo"), tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {ran}\n")
    trap.chmod(0o700)
    (repository / ".git/info/attributes").write_text("*.md filter=trap diff=trap\n")
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc"):
        (repository / ".git/hooks" / hook).symlink_to(trap)
    with (repository / ".git/config").open("a") as config:
        config.write(
            "[extensions]\npartialClone = origin\n[protocol]\nallow = always\n"
            f'[protocol "ext"]\nallow = always\n[core]\nfsmonitor = {trap}\nsshCommand = {trap}\n'
            f'[filter "trap"]\nsmudge = {trap}\n[diff "trap"]\ntextconv = {trap}\n'
            '[remote "origin"]\npromisor = true\npartialclonefilter = blob:none\n'
        )

    def git_there(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", repository, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    blob = git_there("rev-parse", "v1:root.txt")
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for remote in (f"ext::{trap}", f"ssh://host{repository}", repository.as_uri()):
        git_there("config", "remote.origin.url", remote)
        git_there("config", "remote.origin.uploadpack", f"{trap};")
        (folder,), left = fetch([f"git+file://{repository}@v1"], mirrors.folder, private=False)
        assert (folder / "docs/a b.md").read_text() == "# First\n\nOne."
        assert [one.url for one in left] == [f"git+file://{repository}@v1#root.txt"]
        assert not ran.exists()
    monkeypatch.setenv("GIT_DIR", str(_repository(tmp_path / "other") / ".git"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError):
        fetch([f"git+file://{tmp_path}/empty"], mirrors.folder, private=False)
