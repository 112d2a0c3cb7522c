"""What Qdrant Edge's failures mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StoreCorruptError, StoreError, WinnowError


@contextmanager
def translated(folder: Path | str) -> Iterator[None]:
    """Qdrant Edge raises bare exceptions with Rust messages; ours say which collection and what to do."""
    name = folder.name if isinstance(folder, Path) else folder
    try:
        yield
    except WinnowError:
        raise
    except Exception as error:
        if _means_damage(str(error)):
            raise StoreCorruptError(
                f"the collection {name!r} is damaged: {error}",
                way_out=f"Rebuild it: winnow collections delete {name}, then winnow ingest the documents.",
            ) from error
        raise StoreError(f"Qdrant Edge failed on the collection {name!r}: {error}") from error


def _means_damage(message: str) -> bool:
    return any(
        word in message.lower() for word in ("corrupt", "deserialize", "no such file", "segment", "checksum")
    )
