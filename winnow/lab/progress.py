"""Progress of long work, as a callback."""

from __future__ import annotations

from collections.abc import Callable

# The step's name, how much of it is done, how much there is.
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """For callers who want no progress."""
