"""How much of a hostile file is read before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, time in seconds of wall clock for one file (for one batch of a file of records)."""

    file_bytes: int = 256 * MIB
    pages: int = 10_000
    # What a compressed file may unpack to: in all, and as a multiple of its size beyond the first 16 MiB.
    unpacked_bytes: int = 512 * MIB
    unpacked_ratio: int = 100
    nesting: int = 200
    record_bytes: int = 16 * MIB
    seconds: float = 120.0
    worker_bytes: int = 4096 * MIB

    def unpacked(self, packed: int) -> int:
        """The bytes that `packed` compressed bytes may become."""
        return min(self.unpacked_bytes, max(16 * MIB, self.unpacked_ratio * packed))
