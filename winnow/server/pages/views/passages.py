"""Passages on the pages: their names, their text with the quoted sentences marked, an answer's candidates."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from storage.records import Answer, Candidate, Chunk, Citation
from winnow.server.pages.views.formats import file_name, segment
from winnow.server.pages.views.markdown import Notes, ShownBlock, blocks, plain

# Cells of a passage's beginning: about two lines.
_BEGINNING = 160


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A candidate of an answer.

    `number` is its place in the answer's list, from 1, to which grades refer. `spans` are the quoted
    characters of its document; None where the answer does not cite it.
    """

    number: int
    candidate: Candidate
    spans: Sequence[tuple[int, int]] | None

    @property
    def chunk(self) -> Chunk:
        return self.candidate.chunk

    @property
    def place(self) -> int | None:
        """The final rank, None for a candidate that was dropped."""
        return self.candidate.ranks.get("final")

    @property
    def rose(self) -> int | None:
        """By how many places it rose from retrieval to the final ranking."""
        before = self.candidate.ranks.get("retrieval")
        return None if before is None or self.place is None else before - self.place

    @property
    def cited(self) -> bool:
        return self.spans is not None

    @property
    def name(self) -> str:
        return label_of(self.chunk)

    @property
    def short(self) -> str:
        return short_of(self.chunk)

    @property
    def beginning(self) -> str:
        """The first words of the passage, in one line."""
        return cut(" ".join(self.chunk.text.split()), _BEGINNING)

    @property
    def blocks(self) -> Sequence[ShownBlock]:
        """The passage, its quoted sentences marked."""
        return marked(self.chunk, self.spans or ())


def candidates_of(answer: Answer) -> list[CandidateView]:
    """Return the candidates of an answer, in its order."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for citation in answer.citations:
        spans.setdefault(citation.chunk_id, []).extend(
            [(citation.start, citation.end)] if citation.quote else []
        )
    return [CandidateView(n, one, spans.get(one.id)) for n, one in enumerate(answer.candidates, start=1)]


def name_of(chunk: Chunk) -> str:
    """Return the title of a passage's document, or the name of its file."""
    return " ".join(chunk.title.split()) or file_name(chunk.source)


def place_of(chunk: Chunk) -> str:
    """Return page or headings, without repeating the title."""
    if chunk.page is not None:
        return f"p. {chunk.page}"
    return " › ".join(heading for heading in chunk.headings if heading != chunk.title)


def label_of(chunk: Chunk) -> str:
    """Return name and place in one line."""
    return " › ".join(part for part in (name_of(chunk), place_of(chunk)) if part)


def short_of(chunk: Chunk) -> str:
    """Return the name and the innermost heading, which tells the passages of a document apart."""
    return " › ".join(part for part in (name_of(chunk), place_of(chunk).rpartition(" › ")[2]) if part)


def cut(text: str, cells: int) -> str:
    """Cut a text to at most `cells` cells; a Chinese character takes two."""
    width = 0
    for at, one in enumerate(text):
        width += 2 if unicodedata.east_asian_width(one) in "WF" else 1
        if width > cells:
            return text[: max(0, at - 1)].rstrip() + "…"
    return text


def marked(chunk: Chunk, spans: Iterable[tuple[int, int]]) -> list[ShownBlock]:
    """Return a passage as blocks; `spans` are characters of the document, as citations count them."""
    inside = [
        (max(0, start - chunk.start), min(len(chunk.text), end - chunk.start)) for start, end in sorted(spans)
    ]
    notes = Notes(spans=[span for span in inside if span[0] < span[1]])
    return blocks(chunk.text, notes) if is_markdown(chunk) else plain(chunk.text, notes)


def is_markdown(chunk: Chunk) -> bool:
    """Tell whether a passage's signs are Markdown's: in other files they are letters like others."""
    mime = chunk.metadata.get("mime")
    return mime == "text/markdown" or (mime is None and chunk.source.lower().endswith((".md", ".markdown")))


def address_of(collection: str, chunk: Chunk | Citation, span: tuple[int, int] | None = None) -> str:
    """Return the address of a passage on its document's page, with a span of the document marked."""
    passage = chunk.id if isinstance(chunk, Chunk) else chunk.chunk_id
    page = f"/collections/{segment(collection)}/documents/{segment(chunk.document_id)}"
    query = {"passage": passage, **({"from": span[0], "to": span[1]} if span else {})}
    return f"{page}?{urlencode(query)}#shown"
