"""Memory: what this machine has, and what this process no longer needs."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

_LIMIT = Path("/sys/fs/cgroup/memory.max")


def available_memory() -> int | None:
    """The bytes of memory that this machine has, or that its container allows; None where nobody tells."""
    found = []
    with suppress(OSError, ValueError, AttributeError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # no such file, or `max`
        found.append(int(_LIMIT.read_text()))
    return min(found, default=None)


def give_back() -> None:
    """Return freed memory to the system.

    The C library of Linux keeps 20 MB of what loading a model leaves, hundreds after large work on threads.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library, such as musl, keeps none
            ctypes.CDLL("libc.so.6").malloc_trim(0)
