"""Template filters: numbers, times and documents as people read them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from storage.manifest.manifest import DocumentRow
from storage.qdrant.contract import document_id


def duration(ms: float) -> str:
    """Format milliseconds in the unit that gives about two digits."""
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1_000 else f"{ms / 1_000:.1f} s"


def cost(value: float) -> str:
    """Format an amount, in the currency of the price table."""
    return f"{value:.5f}".rstrip("0").rstrip(".") if value else "0"


def score(value: float) -> str:
    """Format a stage's score; each stage has its own scale."""
    return f"{value:.3f}" if abs(value) < 1_000 else f"{value:.0f}"


def number(value: int) -> str:
    """Format a count in groups of three digits."""
    return f"{value:,}"


def size(value: int) -> str:
    """Format bytes in powers of two, as the settings count them."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if value >= factor:
            return f"{value / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{value} B"


def moment(value: datetime) -> str:
    """Format a time in the server's time zone."""
    return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"


def segment(text: object) -> str:
    """Quote a text as one segment of a path."""
    return quote(str(text), safe="")


def file_name(source: str) -> str:
    """Return the last part of a document's source."""
    return source.replace("\\", "/").rpartition("/")[2] or source


def document_name(row: DocumentRow) -> str:
    """Return a document's title, or the name of its file."""
    return " ".join(row.title.split()) or file_name(row.source)


def document_format(row: DocumentRow) -> str:
    """Return what people call a document's format: its suffix."""
    return Path(row.source).suffix.removeprefix(".").upper()


FILTERS = (
    duration,
    cost,
    score,
    number,
    size,
    moment,
    segment,
    file_name,
    document_name,
    document_format,
    document_id,
)
