"""Memory that this process no longer needs."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress


def give_back() -> None:
    """Return freed memory to the system. The C library of Linux keeps what loading a model leaves: 20 MB."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library, such as musl, keeps none
            ctypes.CDLL("libc.so.6").malloc_trim(0)
