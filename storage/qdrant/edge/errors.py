"""What Qdrant Edge's failures mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import StoreCorruptError, StoreError, WinnowError


@contextmanager
def translated(name: str, *, opening: bool = False) -> Iterator[None]:
    """Qdrant Edge raises bare exceptions with Rust messages; ours say which collection and what to do.

    What fails while a shard is opened is damage; what the system itself refuses (a full disk) never is.
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
    """Rust's own abort, which damaged files cause; it is no Exception, and can be told by its name alone."""
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
