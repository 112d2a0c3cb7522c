"""An answer's text in pieces, its citations leading to their passages, the quoted sentences marked there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from generation.citations import located
from storage.records import Answer, Chunk, Citation
from winnow.server.pages.views.likeness import claim_before, likely
from winnow.server.pages.views.passages import Marked, label_of, marked, short_of

# The little Markdown that stands inside sentences; lines and lists are read well enough as they come.
_INLINE = re.compile(r"\*\*(?P<strong>[^*\n]+)\*\*|`(?P<code>[^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of the answer's text; with `markers` it cites these sources and no others."""

    text: str
    markers: tuple[int, ...] = ()
    style: Literal["", "strong", "code"] = ""


@dataclass(frozen=True, slots=True)
class Source:
    """What a marker points at: the passage's names, its file, and its text with the quoted sentences marked.

    Where neighbours were joined to the passage and are quoted, they are among `texts`. Of a passage that is
    cited without a quotation (`quoted` False) the sentences most like what cites it are marked, if any are.
    """

    marker: int
    short: str
    name: str
    path: str
    texts: Sequence[Sequence[Marked]]
    quoted: bool


@dataclass(frozen=True, slots=True)
class CitedText:
    """The text of an answer and what it cites, by marker."""

    pieces: Sequence[Piece]
    sources: Sequence[Source]


def cited(answer: Answer) -> CitedText:
    """The text of an answer and what it cites."""
    sources = [_source(answer, marker) for marker in sorted({one.marker for one in answer.citations})]
    known = {source.marker for source in sources}
    return CitedText(list(_pieces(answer.text, known)), sources)


def _pieces(text: str, known: set[int]) -> Iterator[Piece]:
    at = 0
    for start, end, numbers in located(text):
        if set(numbers) <= known:  # a marker that points nowhere stays text
            yield from _styled(text[at:start])
            yield Piece(text[start:end], numbers)
            at = end
    yield from _styled(text[at:])


def _styled(text: str) -> Iterator[Piece]:
    at = 0
    for found in _INLINE.finditer(text):
        yield Piece(text[at : found.start()])
        yield (
            Piece(found["strong"], style="strong") if found["strong"] else Piece(found["code"], style="code")
        )
        at = found.end()
    yield Piece(text[at:])


def _source(answer: Answer, marker: int) -> Source:
    citations = [one for one in answer.citations if one.marker == marker]
    spans = [(one.start, one.end) for one in citations if one.quote]
    chunks = sorted(_chunks(answer, citations), key=lambda chunk: chunk.start)
    quoted = bool(spans)
    if not quoted:
        spans = [span for chunk in chunks for span in _likely(answer.text, marker, chunk)]
    names = (short_of(chunks[0]), label_of(chunks[0])) if chunks else (citations[0].title,) * 2
    texts = [marked(chunk, spans) for chunk in chunks]
    return Source(marker, *names, citations[0].source, texts, quoted)


def _likely(text: str, marker: int, chunk: Chunk) -> Iterator[tuple[int, int]]:
    """The sentences of the passage, as characters of its document, that the answer's own are most like."""
    for start, _, numbers in located(text):
        if marker in numbers and (span := likely(claim_before(text, start), chunk.text)):
            yield chunk.start + span[0], chunk.start + span[1]


def _chunks(answer: Answer, citations: Sequence[Citation]) -> Iterator[Chunk]:
    """The cited passage, and its neighbours where they are quoted."""
    first = citations[0]
    yield from (one.chunk for one in answer.candidates if one.id == first.chunk_id)
    for chunk in answer.neighbours:
        quoted = any(one.quote and one.start < chunk.end and chunk.start < one.end for one in citations)
        if chunk.document_id == first.document_id and chunk.id != first.chunk_id and quoted:
            yield chunk
