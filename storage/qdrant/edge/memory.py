"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


def give_back_free_memory() -> None:
    """Ask the C library for it. glibc otherwise keeps hundreds of megabytes after large work on threads.

    Where the C library has no such call (macOS, Windows, musl) nothing happens.
    """
    if trim := _malloc_trim():
        trim(0)


@cache
def _malloc_trim() -> Any:
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # Windows has no "this program's own symbols"
        return None
