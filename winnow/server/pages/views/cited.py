"""An answer's text in pieces: markers link to their passages, where the quoted sentences are marked.

A passage cited without a quotation has the sentence marked that shares most terms with the claim: words, and
pairs of characters in Chinese, Japanese and Korean. That is a reader's aid and proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from generation.citations import located, places
from generation.extractive.units import units
from storage.records import Answer, Chunk, Citation
from winnow.server.pages.views.markdown import Notes, ShownBlock, blocks
from winnow.server.pages.views.passages import address_of, label_of, marked, short_of

# Below this share of the claim's terms no sentence is similar enough to be marked.
ENOUGH = 0.3
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[^\W_{_CJK}]+")
_CJK_RUN = re.compile(rf"[{_CJK}]+")
_SENTENCE_END = re.compile(r"[.!?]\s|[。！？\n]")


@dataclass(frozen=True, slots=True)
class CitedSource:
    """A marker's target: the passage's names, its file, and its text with the quoted sentences marked.

    `texts` has the passage and the neighbours that are quoted, too. `quoted` is False for a passage cited
    without a quotation. `about` is the line that was indexed with it and is none of its text. `address` is
    the passage on its document's page.
    """

    marker: int
    short: str
    name: str
    path: str
    texts: Sequence[Sequence[ShownBlock]]
    quoted: bool
    about: str
    address: str


@dataclass(frozen=True, slots=True)
class CitedText:
    """The text of an answer and its sources, by marker."""

    blocks: Sequence[ShownBlock]
    sources: Sequence[CitedSource]


def cited(answer: Answer) -> CitedText:
    """Split the text of an answer at its citations."""
    sources = [_source(answer, marker) for marker in sorted({one.marker for one in answer.citations})]
    known = {source.marker for source in sources}
    # a marker without a source stays text
    linked = [place for place in places(answer.text, answer.citations) if set(place[2]) <= known]
    return CitedText(blocks(answer.text, Notes(places=linked)), sources)


def claim_before(text: str, end: int) -> str:
    """Return the sentence of an answer that the marker at `end` belongs to."""
    before = text[:end].rstrip()
    ends = [match.end() for match in _SENTENCE_END.finditer(before) if match.end() < len(before)]
    return before[ends[-1] :] if ends else before


def likely(claim: str, passage: str) -> tuple[int, int] | None:
    """Return the span of the sentence that shares most of the claim's terms, the shorter of equals."""
    wanted = _terms(claim)
    spans = [unit.span for unit in units(passage)]
    if not wanted or not spans:
        return None
    shared = {span: len(wanted & _terms(passage[slice(*span)])) / len(wanted) for span in spans}
    best = max(spans, key=lambda span: (shared[span], span[0] - span[1]))
    return best if shared[best] >= ENOUGH else None


def _source(answer: Answer, marker: int) -> CitedSource:
    citations = [one for one in answer.citations if one.marker == marker]
    spans = [(one.start, one.end) for one in citations if one.quote]
    chunks = sorted(_chunks(answer, citations), key=lambda chunk: chunk.start)
    quoted = bool(spans)
    if not quoted:
        spans = [span for chunk in chunks for span in _likely_spans(answer.text, marker, chunk)]
    names = (short_of(chunks[0]), label_of(chunks[0])) if chunks else (citations[0].title,) * 2
    texts = [marked(chunk, spans) for chunk in chunks]
    address = address_of(answer.collection, citations[0], min(spans, default=None))
    about = next((chunk.about for chunk in chunks if chunk.id == citations[0].chunk_id), "")
    return CitedSource(marker, *names, citations[0].source, texts, quoted, about, address)


def _likely_spans(text: str, marker: int, chunk: Chunk) -> Iterator[tuple[int, int]]:
    """Yield the sentences of the passage most like the answer's claims, as characters of the document."""
    for start, _, numbers in located(text):
        if marker in numbers and (span := likely(claim_before(text, start), chunk.text)):
            yield chunk.start + span[0], chunk.start + span[1]


def _chunks(answer: Answer, citations: Sequence[Citation]) -> Iterator[Chunk]:
    """Yield the cited passage, and its neighbours where they are quoted."""
    first = citations[0]
    yield from (one.chunk for one in answer.candidates if one.id == first.chunk_id)
    for chunk in answer.neighbours:
        quoted = any(one.quote and one.start < chunk.end and chunk.start < one.end for one in citations)
        if chunk.document_id == first.document_id and chunk.id != first.chunk_id and quoted:
            yield chunk


def _terms(text: str) -> set[str]:
    folded = text.casefold()
    pairs = {run[at : at + 2] for run in _CJK_RUN.findall(folded) for at in range(max(1, len(run) - 1))}
    return pairs | set(_WORD.findall(folded))
