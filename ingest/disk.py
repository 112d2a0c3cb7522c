"""Stopping before the disk is full, while there is still room to stop in good order."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from storage.errors import StoreError
from storage.store import Writer
from storage.vectors import Point

# More than a batch and what the engine sets aside for it.
RESERVE_BYTES = 256 << 20


class RoomKept:
    """A writer that leaves `reserve` bytes of the disk under `folder` free, and raises StoreError instead.

    An embedded engine writes through memory maps: on a full disk the system ends the process (SIGBUS) in the
    middle of a page, without an error that anybody could catch.
    """

    def __init__(self, store: Writer, folder: Path, reserve: int = RESERVE_BYTES) -> None:
        self._store = store
        self._folder = folder
        self._reserve = reserve

    def upsert(self, points: Sequence[Point]) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < self._reserve:
            raise StoreError(
                f"the disk is nearly full: {free >> 20} MB are free for {self._folder}, and "
                f"{self._reserve >> 20} MB are kept free",
                way_out="Make room and run it again: it goes on where it stopped.",
            )
        self._store.upsert(points)

    def delete_document(self, document: str, *, keep: Collection[str] = ()) -> None:
        self._store.delete_document(document, keep=keep)

    def flush(self) -> None:
        self._store.flush()
