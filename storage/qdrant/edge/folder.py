"""The folder of an embedded collection: its shard in use, one being built, and leftovers of crashes.

    NAME/fingerprint.json   makes the collection exist, and says which shard is in use
    NAME/shard/             the first shard; later ones are shard-GENERATION/, and one whose graph was
                            built has another name again
    NAME/rebuild.json       the fingerprint of a shard that is being built; renaming it over
                            fingerprint.json is the whole swap

Anything else there is left over from a crash, and is never read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from storage.errors import BadInputError, StoreCorruptError, StoreError
from storage.locks import CollectionLock
from storage.private_files import make_private_folder, read_object
from storage.qdrant.contract import Fingerprint

_CURRENT, _DRAFT = "fingerprint.json", "rebuild.json"
_GENERATION, _PLACE = "generation", "place"
_OURS = ("fingerprint.", "rebuild.", "shard", "lock", "holder.json")


@dataclass(frozen=True, slots=True)
class ShardGeneration:
    """A shard and its fingerprint; `id` is empty for a collection's first.

    `place` is the name of the shard's folder, where `id` does not give it.
    """

    fingerprint: Fingerprint
    id: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class CollectionFolder:
    """A collection's folder. Its operations are atomic; locks decide who may call them."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def exists(self) -> bool:
        """True where there is a collection, whatever its state."""
        return (self.path / _CURRENT).is_file()

    @property
    def foreign(self) -> bool:
        """True where something lies there that winnow did not make."""
        return any(not path.name.startswith(_OURS) for path in self.path.iterdir())

    def make(self) -> None:
        """Make the folder. Raises StoreError."""
        try:
            make_private_folder(self.path.parent)
            make_private_folder(self.path)
        except OSError as error:
            raise StoreError(
                f"cannot make {self.path}: {error.strerror}", way_out="Choose another --data-dir."
            ) from error

    def refuse_existing(self) -> None:
        if self.exists:
            raise BadInputError(
                f"the collection {self.name!r} exists already", way_out="Open it, or choose another name."
            )

    def shard(self, generation: ShardGeneration) -> Path:
        made = f"shard-{generation.id}" if generation.id else "shard"
        return self.path / (generation.place or made)

    def current(self) -> ShardGeneration:
        """Read the generation in use. Raises StoreCorruptError, FingerprintMismatchError (newer winnow)."""
        try:
            return _read(self.path / _CURRENT)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreCorruptError(
                f"{self.path / _CURRENT} cannot be read: {error}",
                way_out=f"Rebuild it from the documents: winnow doctor --repair -c {self.name}",
            ) from error

    def draft(self) -> ShardGeneration | None:
        """Read the generation that is being built, or was when interrupted; None where there is none."""
        try:
            return _read(self.path / _DRAFT)
        except (OSError, ValueError, TypeError, KeyError, StoreError):  # it cannot be resumed
            return None

    def publish(self, generation: ShardGeneration) -> None:
        """Put this generation in use."""
        _write_atomically(self.path / _CURRENT, generation)

    def announce(self, generation: ShardGeneration) -> None:
        """Note that this generation, whose shard is made, is being built."""
        _write_atomically(self.path / _DRAFT, generation)

    def move(self, generation: ShardGeneration) -> None:
        """Note the new place of the shard of this generation, in use or being built."""
        draft = self.draft()
        if draft is not None and draft.id == generation.id:
            self.announce(generation)
        else:
            self.publish(generation)

    def swap(self) -> None:
        """Put the generation that was being built in use, by one atomic rename."""
        os.replace(self.path / _DRAFT, self.path / _CURRENT)  # noqa: PTH105 - this name says it must be atomic
        _settle(self.path)

    def forget_draft(self) -> None:
        (self.path / _DRAFT).unlink(missing_ok=True)

    def strays(self) -> Iterator[Path]:
        """Yield shards that are neither in use nor being built."""
        named = {self.shard(found) for found in (self._readable(), self.draft()) if found}
        if self.exists and self._readable() is None:
            return  # which of them was in use is unknown
        yield from sorted(path for path in self.path.glob("shard*") if path not in named)

    def remove_strays(self) -> None:
        for path in list(self.strays()):
            shutil.rmtree(path, ignore_errors=True)

    def discard(self) -> None:
        """Put the whole folder aside to be deleted, so that nobody takes what is left of it for a collection.

        What another process makes under this name afterwards is its own. Raises StoreError.
        """
        try:
            (self.path / _CURRENT).unlink(missing_ok=True)
            self.path.rename(self.path.with_name(f".{self.name}.dropped-{token_hex(4)}"))
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be removed: {error.strerror}", way_out="Does it belong to this user?"
            ) from error

    def trash(self) -> list[Path]:
        """Return what was put aside and is not deleted yet."""
        return sorted(self.path.parent.glob(f".{self.name}.dropped-*"))

    def empty_trash(self) -> None:
        """Delete what was put aside. Raises StoreError."""
        for trash in self.trash():
            shutil.rmtree(trash, ignore_errors=True)  # another process may be at it, too
            if trash.exists():
                raise StoreError(f"{trash} cannot be removed", way_out="Does it belong to this user?")

    def lock(self) -> CollectionLock:
        """Return the lock to hold while the collection is open."""
        return CollectionLock(self.path)

    def rebuild_lock(self) -> CollectionLock:
        """Return the lock to hold while a generation is built next to the one in use."""
        return CollectionLock(self.path, file="rebuild.lock", doing="is being re-indexed by")

    def _readable(self) -> ShardGeneration | None:
        try:
            return self.current()
        except StoreError:
            return None


def _read(path: Path) -> ShardGeneration:
    values = read_object(path)
    generation, place = values.pop(_GENERATION, ""), values.pop(_PLACE, "")
    if place != Path(place).name:
        raise ValueError(f"{place!r} is no name of a folder")
    return ShardGeneration(Fingerprint.from_dict(values), str(generation), place)


def _write_atomically(path: Path, generation: ShardGeneration) -> None:
    named = {_GENERATION: generation.id, _PLACE: generation.place}
    values = generation.fingerprint.to_dict() | {key: value for key, value in named.items() if value}
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(values, indent=2))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, path)  # noqa: PTH105 - as in swap()
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Sync a folder, without which a rename in it may not survive a power cut."""
    if os.name == "nt":
        return  # folders cannot be opened there
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
