"""Translates the failures of Qdrant Edge into our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import StoreCorruptError, StoreError, WinnowError


@contextmanager
def translated(name: str, *, opening: bool = False) -> Iterator[None]:
    """Raise the engine's bare exceptions as ours, which name the collection and the way out.

    A failure to open a shard is damage, unless the system itself refused something (a full disk).
    """
    try:
        yield
    except WinnowError:
        raise
    except BaseException as error:
        if not _is_the_engines(error):
            raise
        refused = _is_the_systems(str(error))
        if _is_panic(error) or (not refused and (opening or _means_damage(str(error)))):
            raise StoreCorruptError(
                f"the collection {name!r} is damaged: {error}",
                way_out=f"Rebuild it from the documents: winnow doctor --repair -c {name}",
            ) from error
        raise StoreError(f"Qdrant Edge failed on the collection {name!r}: {error}") from error


def _is_the_engines(error: BaseException) -> bool:
    return isinstance(error, Exception) or _is_panic(error)


def _is_panic(error: BaseException) -> bool:
    """Recognise Rust's own abort, which damaged files cause, by its name: it is no Exception."""
    return type(error).__name__ == "PanicException"


def _is_the_systems(message: str) -> bool:
    return any(
        word in message.lower()
        for word in ("wouldblock", "permission", "no space", "too many open files", "memory", "read-only")
    )


def _means_damage(message: str) -> bool:
    return any(
        word in message.lower() for word in ("corrupt", "deserialize", "no such file", "segment", "checksum")
    )
