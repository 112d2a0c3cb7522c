"""Finds the files of a run: given files, trees and globs, in a stable order, nothing outside the tree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from ingest.loaders import supported
from ingest.loaders.registry import is_readable
from storage.errors import NotFoundError

Paths = Sequence[str | os.PathLike[str]]

# Locks and resource forks that editors and systems leave next to documents.
_LITTER = ("~$", "._", ".~lock.")
_IGNORE_FILE = ".winnowignore"


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """Rules of every `.winnowignore` met on the way down a tree (gitignore's syntax), with their folders."""

    specs: tuple[tuple[Path, GitIgnoreSpec], ...] = ()

    def entered(self, folder: Path) -> IgnoreRules:
        """The rules that apply in `folder`: its own, and those of the folders that it is in."""
        kept = tuple((base, spec) for base, spec in self.specs if folder.is_relative_to(base))
        file = folder / _IGNORE_FILE
        if not file.is_file():
            return IgnoreRules(kept)
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        return IgnoreRules((*kept, (folder, GitIgnoreSpec.from_lines(lines))))

    def ignores(self, path: Path, *, is_folder: bool) -> bool:
        """True if a path is left out; the innermost rule that matches decides."""
        for base, spec in reversed(self.specs):
            relative = path.relative_to(base).as_posix() + ("/" if is_folder else "")
            verdict = spec.check_file(relative).include
            if verdict is not None:
                return verdict
        return False


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to ingest; `source` is its absolute posix path, which is also its name in the collection."""

    path: Path
    source: str
    size: int


@dataclass(slots=True)
class Discovery:
    """The files that were found, the trees they came from, and the number of skipped files by suffix.

    `unsupported` are those of formats that no parser knows, `closed` the folders that could not be opened, so
    that their contents are unknown.
    """

    files: list[FoundFile] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    unsupported: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def covers(self, source: str) -> bool:
        """True if a document of that source lies below the given paths, where its file would be seen."""
        return _below(source, self.roots) and not _below(source, self.closed)

    def close(self, folder: Path) -> None:
        """Note a folder that cannot be opened."""
        self.closed.append(_absolute(folder).as_posix())
        self.skipped["(folders that cannot be opened)"] += 1


def discover(paths: Paths) -> Discovery:
    """All files that the paths mean, sorted, each once.

    A directory means its tree: without hidden directories, without what `.winnowignore` names, without files
    of unknown formats (listed, unless hidden; one without a suffix is looked into), and without links that
    lead out of it or to folders, or folders that cannot be opened (all counted). A file that is named is
    taken whatever its suffix. Raises NotFoundError for a path that does not exist and a pattern that matches
    nothing.
    """
    found = Discovery()
    seen: set[str] = set()
    for given in paths:
        for path in _expanded(Path(given).expanduser()):
            found.roots.append(_absolute(path).as_posix())
            files = _tree(path, found) if path.is_dir() else [path]
            for file in files:
                _add(found, seen, file)
    found.files.sort(key=lambda file: file.source)
    return found


def owners(source: str) -> Iterator[str]:
    """The source itself, and every file that it may be a record of (`file.jsonl#7`)."""
    yield source
    parts = source.split("#")
    yield from ("#".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))


def _add(found: Discovery, seen: set[str], file: Path) -> None:
    source = _absolute(file).as_posix()
    if source in seen:
        return
    seen.add(source)
    with suppress(FileNotFoundError):  # it left between the listing and now
        found.files.append(FoundFile(file, source, file.stat().st_size))


def _absolute(path: Path) -> Path:
    # Not resolve(): a link keeps the name under which people know it.
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib's absolute() leaves ".." inside


def _expanded(path: Path) -> list[Path]:
    if path.exists():
        return [path]
    if any(character in path.as_posix() for character in "*?["):
        anchor = Path(path.anchor) if path.anchor else Path()
        pattern = path.relative_to(path.anchor).as_posix() if path.anchor else path.as_posix()
        if matches := sorted(anchor.glob(pattern)):
            return matches
        raise NotFoundError(f"no file matches {path}")
    raise NotFoundError(f"{path} does not exist", way_out="Give files, directories, or a quoted pattern.")


def _below(source: str, roots: Sequence[str]) -> bool:
    return any(source == root or source.startswith(root.rstrip("/") + "/") for root in roots)


def _tree(root: Path, found: Discovery) -> Iterator[Path]:
    rules = IgnoreRules()
    real_root = root.resolve()
    for folder, subfolders, names in os.walk(root, onerror=lambda error: found.close(Path(error.filename))):
        here = Path(folder)
        if not os.access(here, os.X_OK):  # names can be listed, and nothing else
            found.close(here)
            subfolders.clear()
            continue
        rules = rules.entered(here)
        links = sum(os.path.islink(here / name) for name in subfolders if not name.startswith("."))  # noqa: PTH114
        found.skipped.update({"(links to folders)": links} if links else {})
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".") and not rules.ignores(here / name, is_folder=True)
        )
        for name in sorted(names):
            path = here / name
            if name.startswith(_LITTER) or rules.ignores(path, is_folder=False):
                continue
            if not (supported(name) or _is_readable(path)):
                if not name.startswith("."):
                    found.skipped[path.suffix.lower() or name] += 1
                    found.unsupported.append(_absolute(path).as_posix())
            elif path.is_symlink() and not _inside(path, real_root):
                found.skipped["(links out of the tree)"] += 1
            elif path.is_file():
                yield path


def _is_readable(path: Path) -> bool:
    """True for a file whose name says nothing of its format, and whose content does."""
    return not path.suffix and not path.name.startswith(".") and path.is_file() and is_readable(path)


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # a link to nowhere, or in a circle
        return False
