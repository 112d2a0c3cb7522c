"""Checks for free disk space before a write, while there is still room to stop in good order.

The embedded engine writes through memory maps: on a full disk the system ends the process (SIGBUS) in the
middle of a page, without an error that could be caught.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from storage.errors import StoreUnavailableError

# More than a batch and what the engine sets aside for it.
RESERVE_BYTES = 256 << 20
# More than the engine sets aside when it opens a shard.
OPENING_BYTES = 64 << 20


def files_below(folder: Path) -> Iterator[os.stat_result]:
    """Yield the status of each file below a folder in use; what is gone before its turn is left out."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(parent, name).lstat()
            except OSError:
                continue
            if S_ISREG(status.st_mode):
                yield status


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The disk of a shard's `folder`, of which `reserve` bytes must stay free."""

    folder: Path
    reserve: int = RESERVE_BYTES

    def check(self) -> None:
        """Raise StoreUnavailableError where less is free."""
        if not self.has_room():
            raise StoreUnavailableError(
                f"the disk is nearly full: {self._free() >> 20} MB are free for {self.folder}, and "
                f"{self.reserve >> 20} MB are kept free",
                way_out="Make room and run it again: it goes on where it stopped.",
            )

    def has_room(self, more: int = 0) -> bool:
        """Return whether `more` bytes may be written."""
        return self._free() >= self.reserve + more

    def size(self) -> int:
        """Return the size of the shard in bytes; merging its segments writes them once more."""
        return sum(file.st_size for file in files_below(self.folder))

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free
