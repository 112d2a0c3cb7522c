"""Copies the files of a collection that another process has open, at a moment when it does not write."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from storage.errors import StoreError, StoreLockedError
from storage.qdrant.edge.folder import CollectionFolder

_TRIES, _PAUSE_S = 5, 1.0


def copied_while_unchanged(source: CollectionFolder, target: CollectionFolder) -> None:
    """Copy the shard in use; taken again while a file has changed under way.

    Raises StoreLockedError where that goes on, StoreError where the copy cannot be written.
    """
    for _ in range(_TRIES):
        shutil.rmtree(target.path, ignore_errors=True)
        target.make()
        built = source.current()
        shard = source.shard(built)
        try:
            before = _state(shard)
            shutil.copytree(shard, target.shard(built))
            unchanged = before == _state(shard) and built == source.current()
        except OSError as error:
            if not _has_vanished(error):
                raise StoreError(f"{shard} cannot be copied: {error}", way_out="Is there room?") from error
            unchanged = False
        if unchanged:
            target.publish(built)
            return
        time.sleep(_PAUSE_S)
    raise StoreLockedError(
        f"the collection {source.name!r} is being written to all the time",
        way_out="Back up when the ingest is done.",
    )


def _has_vanished(error: OSError) -> bool:
    """Return whether files were gone: a segment was merged, or the shard swapped."""
    if isinstance(error, shutil.Error):  # names every file that failed
        return not any(Path(name).exists() for name, *_ in error.args[0])
    return isinstance(error, FileNotFoundError)


def _state(shard: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file of a shard."""
    found = ((path, path.stat()) for path in sorted(shard.rglob("*")) if path.is_file())
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found}
