"""Copies of files from elsewhere, in a folder, each with the address that it came from.

What is in the folder is ingested like any other file: it can be read again without the network, and an
answer can be checked against the very text that it quotes.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from urllib.parse import quote

from ingest.loaders.base import MIB
from storage.errors import BadInputError
from storage.private_files import read_object
from storage.reasons import Reason

# Beside the files, in a folder that no run looks into.
_FACTS = ".fetched"
_LONGEST_NAME = 120
# A page, file or object of more is refused before it is read whole.
MOST_BYTES = 64 * MIB


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a copy, and its version there: a site's `ETag` and `Last-Modified`, a git blob."""

    url: str
    version: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Unfetched:
    """Something that could not be fetched, with the reason."""

    url: str
    reason: str


@dataclass(slots=True)
class Mirror:
    """The copies of one place, a site or a repository, in `folder`."""

    folder: Path

    def path(self, name: str) -> Path:
        """The path of a copy. Raises BadInputError for a name that leads elsewhere, as one with `..` does."""
        parts = PurePath(name).parts
        if posixpath.normpath(name) != name or PurePath(name).anchor or {*parts} & {"", ".", "..", _FACTS}:
            raise BadInputError(f"{name!r} is no name of a file")
        return self.folder / name

    def origin(self, name: str) -> Origin | None:
        """The origin of a copy that is still there, otherwise None."""
        path = self.path(name)
        return origin_of(path) if path.is_file() else None

    def keep(self, name: str, data: bytes, origin: Origin) -> Path:
        """Write a copy and its origin; a copy that is the same keeps its time."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.is_file() or path.read_bytes() != data:
            _write(path, data)
        facts = _facts_of(path)
        facts.parent.mkdir(exist_ok=True, mode=0o700)
        _write(facts, json.dumps(asdict(origin), ensure_ascii=False).encode())
        return path

    def drop(self, name: str) -> None:
        """Remove a copy of what is gone at its place."""
        path = self.path(name)
        path.unlink(missing_ok=True)
        _facts_of(path).unlink(missing_ok=True)

    def drop_all_but(self, names: Iterable[str]) -> None:
        """Remove the copies of everything else."""
        kept = {self.path(name) for name in names}
        for folder, _, files in os.walk(self.folder):
            for file in files:
                path = Path(folder, file)
                if _FACTS not in path.parts and path not in kept:
                    self.drop(path.relative_to(self.folder).as_posix())


@dataclass(slots=True)
class Round:
    """A round over the files of one place: reads those that are others than their copies.

    `left`: what could not be read; its old copy stays, unless it is too large by now.
    """

    mirror: Mirror
    left: list[Unfetched] = field(default_factory=list)
    _kept: list[str] = field(default_factory=list)

    def bring(self, name: str, origin: Origin, size: int, read: Callable[[], bytes]) -> None:
        """Bring a copy up to date; without a version it is read each time."""
        if size > MOST_BYTES:
            reason = Reason("ingest.too-many-bytes", size=size, limit=MOST_BYTES)
            self.left.append(Unfetched(origin.url, reason))
            return
        try:
            if known := self.mirror.origin(name):
                self._kept.append(name)
            if not origin.version or known is None or known.version != origin.version:
                self.mirror.keep(name, read(), origin)
                self._kept.append(name)
        except Exception as error:  # noqa: BLE001 - one file never stops a round, and stores have errors of their own
            reason = Reason("ingest.unreadable", error=str(error) or type(error).__name__)
            self.left.append(Unfetched(origin.url, reason))

    def end(self) -> list[Unfetched]:
        """Remove the copies of what is gone and return `left`."""
        self.mirror.drop_all_but(self._kept)
        return self.left


def origin_of(path: Path) -> Origin | None:
    """The origin of a copy; None for a file that is none."""
    try:
        facts = read_object(_facts_of(path))
        return Origin(str(facts["url"]), str(facts["version"]), str(facts["modified"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def flat_name(address: str, suffix: str = "", *, marked: bool = False) -> str:
    """A file name for the path of an address: readable; one that is `marked` or long is its own by a hash."""
    name = quote(address.strip("/"), safe=" ()+,=@~") or "index"
    name = name if name.lower().endswith(suffix) else name + suffix
    if marked or len(name) > _LONGEST_NAME or name.startswith("."):
        mark = hashlib.sha256(address.encode()).hexdigest()[:12]
        end = suffix or Path(name).suffix[:16]
        name = f"{name.lstrip('.')[: _LONGEST_NAME - 30]}-{mark}{end}"
    return name


def folder_name(address: str) -> str:
    """A folder name for a site or a repository: readable, and its own."""
    kept = "".join(one if one.isalnum() or one in ".-_" else "_" for one in address)[-60:].lstrip(".")
    return f"{kept}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def metadata(path: Path) -> Mapping[str, str]:
    """The fields that a copy's origin adds to a document: `url`."""
    origin = origin_of(path)
    return {"url": origin.url} if origin else {}


def _facts_of(path: Path) -> Path:
    return path.parent / _FACTS / f"{path.name}.json"


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
