"""Numbers and moments as people read them."""

from __future__ import annotations

from datetime import datetime


def duration(ms: float) -> str:
    """Milliseconds, in the unit that gives about two digits."""
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1_000 else f"{ms / 1_000:.1f} s"


def cost(value: float) -> str:
    """In the currency of the price table, whose name winnow does not know."""
    return f"{value:.5f}".rstrip("0").rstrip(".") if value else "0"


def score(value: float) -> str:
    """A stage's score; its scale is the stage's own."""
    return f"{value:.3f}" if abs(value) < 1_000 else f"{value:.0f}"


def number(value: int) -> str:
    """A count, in groups of three digits."""
    return f"{value:,}"


def size(value: int) -> str:
    """Bytes, in powers of two as the settings count them."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if value >= factor:
            return f"{value / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{value} B"


def moment(value: datetime) -> str:
    """A time in the server's own zone."""
    return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
