"""What a passage is called on the pages, and its text with the cited sentences marked."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from storage.records import Chunk


@dataclass(frozen=True, slots=True)
class Marked:
    """A run of a passage's text; `cited` where the answer quotes it."""

    text: str
    cited: bool


def name_of(chunk: Chunk) -> str:
    """Its document's title, or the name of the file."""
    return " ".join(chunk.title.split()) or chunk.source.replace("\\", "/").rpartition("/")[2]


def place_of(chunk: Chunk) -> str:
    """Page or headings, without repeating the title."""
    if chunk.page is not None:
        return f"p. {chunk.page}"
    return " › ".join(heading for heading in chunk.headings if heading != chunk.title)


def label_of(chunk: Chunk) -> str:
    """Name and place in one line."""
    return " › ".join(part for part in (name_of(chunk), place_of(chunk)) if part)


def short_of(chunk: Chunk) -> str:
    """Name, and of the place only the innermost heading, which tells the passages of a document apart."""
    return " › ".join(part for part in (name_of(chunk), place_of(chunk).rpartition(" › ")[2]) if part)


def cut(text: str, cells: int) -> str:
    """The text in at most so many cells, a Chinese character being two of them."""
    width = 0
    for at, one in enumerate(text):
        width += 2 if unicodedata.east_asian_width(one) in "WF" else 1
        if width > cells:
            return text[: max(0, at - 1)].rstrip() + "…"
    return text


def marked(chunk: Chunk, spans: Iterable[tuple[int, int]]) -> Sequence[Marked]:
    """The text in runs; `spans` are characters of the document, as citations count them."""
    runs, at = [], 0
    for start, end in sorted(spans):
        low, high = max(at, start - chunk.start), min(len(chunk.text), end - chunk.start)
        if low < high:
            runs += [Marked(chunk.text[at:low], cited=False), Marked(chunk.text[low:high], cited=True)]
            at = high
    return [run for run in (*runs, Marked(chunk.text[at:], cited=False)) if run.text]
