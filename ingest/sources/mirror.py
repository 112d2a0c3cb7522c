"""Copies of files from elsewhere, in a folder, each with the address that it came from.

What is in the folder is ingested like any other file: it can be read again without the network, and an
answer can be checked against the very text that it quotes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from ingest.loaders.base import MIB
from storage.errors import BadInputError

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
        """The path of a copy. Raises BadInputError for a name that leads out of the folder."""
        path = Path(os.path.normpath(self.folder / name))
        if not path.is_relative_to(self.folder) or path == self.folder or _FACTS in path.parts:
            raise BadInputError(f"{name!r} is no name of a file")
        return path

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


def origin_of(path: Path) -> Origin | None:
    """The origin of a copy; None for a file that is none."""
    try:
        facts = json.loads(_facts_of(path).read_bytes())
        return Origin(str(facts["url"]), str(facts["version"]), str(facts["modified"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def flat_name(address: str, suffix: str = "") -> str:
    """A file name for the path of an address; a long one is cut and told apart by a hash."""
    name = quote(address.strip("/"), safe=" ()+,=@~") or "index"
    name = name if name.lower().endswith(suffix) else name + suffix
    if len(name) > _LONGEST_NAME or name.startswith("."):
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
