"""Cuts documents into passages of bounded length in the encoder's tokens, at breaks in the text.

semantic-text-splitter does the splitting. In addition, Chinese semicolons end a clause, a heading stays with
the text after it, a passage after a cut within a paragraph begins with the last sentences of the one before,
and the context line (title and heading path) counts and is limited to a share of the passage.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ingest.chunking.context import Contexts, Path
from ingest.chunking.outline import Outline, RowCounter, Span, with_headings
from storage.qdrant.contract import chunk_id
from storage.records import Chunk, Document, PageStart
from storage.vectors import TokenCounter

VERSION = 2
# Bounds text that a tokenizer takes as one unknown word (200,000 letters without a space, say).
_CHARACTERS_PER_TOKEN = 12
_SENTENCE_START = re.compile(r"(?:[。！？；…][”’」』）]*|[.!?][\"'”’)]*\s+|\n)(?=\S)")
_SEMICOLON = str.maketrans("；", "。")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSizes:
    """In tokens of the encoder. `total` includes the context line and special tokens, and is at most what
    the encoder reads. `context` is the most of title and heading path, `overlap` of shared sentences."""

    total: int = 256
    context: int = 48
    overlap: int = 24


class Chunker:
    """Cuts documents into passages for one encoder."""

    def __init__(self, counter: TokenCounter, max_tokens: int, sizes: ChunkSizes | None = None) -> None:
        from semantic_text_splitter import TextSplitter

        sizes = sizes or ChunkSizes()
        self._counter = counter
        # One token of slack: joined texts may tokenize into one more than their parts.
        self._limit = min(sizes.total, max_tokens) - counter.special - 1
        self._context = min(sizes.context, self._limit // 4)
        self._overlap = min(sizes.overlap, self._limit // 8)
        self._characters = self._limit * _CHARACTERS_PER_TOKEN
        self._by_characters: Any = TextSplitter(self._characters)
        self._length = counter.counting("")

    def chunks(self, document: Document, rows: Sequence[PageStart] = ()) -> list[Chunk]:
        """The passages of a document, in order; `rows` as in `ingest.loaders.base.Loaded`."""
        outline = Outline(document)
        self._length = self._counter.counting("\n".join((document.title, document.text)))
        contexts = Contexts(document.title, self._length, self._context, _CHARACTERS_PER_TOKEN)
        room = self._limit - max(contexts.path(headings).tokens for headings in outline.paths())
        whole = self._whole(document.text, room)
        spans = whole or self._within_the_limit(document, outline, contexts, room)
        found = [(_with_base(document.text, span), contexts.path(outline.path(span))) for span in spans]
        return _numbered(document, found, outline, rows)

    def _within_the_limit(
        self, document: Document, outline: Outline, contexts: Contexts, room: int
    ) -> Iterator[Span]:
        """The splitter's spans; those that are too long (joined, or with a long context) are halved."""
        text = document.text
        spans = list(self._spans(document, room))
        lengths = {span: self._length(text[slice(*span)]) for span in spans}
        stack = spans[::-1]
        while stack:
            span = stack.pop()
            length = lengths[span] if span in lengths else self._length(text[slice(*span)])
            path = contexts.path(outline.path(span))
            if length + path.tokens > self._limit and (halves := self._halves(text, span)):
                stack.extend(reversed(halves))
            else:
                yield span

    def _whole(self, text: str, room: int) -> list[Span]:
        """The whole text as one passage if it fits, as most records and notes do."""
        if len(text) > self._characters or self._length(text) > room:
            return []
        start = len(text) - len(text.lstrip())
        return [(start, len(text.rstrip()))] if text.strip() else []

    def _spans(self, document: Document, room: int) -> Iterator[Span]:
        text = document.text
        size = max(8, (room - self._overlap) // 8 * 8)
        splitter = _splitter(self._length, document.structured, size)
        # A copy of the same offsets, in which semicolons are full stops, where the splitter may cut.
        pieces = [
            (start, start + len(piece)) for start, piece in splitter.chunk_indices(text.translate(_SEMICOLON))
        ]
        pieces = [part for piece in pieces for part in self._not_too_long(text, piece)]
        return self._overlapped(text, with_headings(text, pieces, document.headings))

    def _not_too_long(self, text: str, span: Span) -> list[Span]:
        if span[1] - span[0] <= self._characters:
            return [span]
        parts = self._by_characters.chunk_indices(text[span[0] : span[1]])
        return [(span[0] + start, span[0] + start + len(part)) for start, part in parts]

    def _overlapped(self, text: str, spans: Sequence[Span]) -> Iterator[Span]:
        before: Span | None = None
        for start, end in spans:
            cut = before is not None and "\n\n" not in text[before[1] : start]
            yield (self._sentences_before(text, before, start) if cut and before else start), end
            before = start, end

    def _sentences_before(self, text: str, before: Span, start: int) -> int:
        """The start of the last whole sentences of a passage that fit into the overlap, or `start`."""
        if self._overlap == 0:
            return start
        floor = max(before[0], before[1] - self._overlap * _CHARACTERS_PER_TOKEN)
        for match in _SENTENCE_START.finditer(text, floor, before[1]):
            if match.end() < before[1] and self._length(text[match.end() : start]) <= self._overlap:
                return match.end()
        return start

    def _halves(self, text: str, span: Span) -> list[Span]:
        """A passage that is too long as two or more; empty if it is one grapheme."""
        size = (span[1] - span[0]) // 2
        if size == 0:
            return []
        from semantic_text_splitter import TextSplitter

        parts = TextSplitter(size + 1).chunk_indices(text[span[0] : span[1]])
        whole = [(span[0] + start, span[0] + start + len(part)) for start, part in parts]
        return whole if len(whole) > 1 else []


def chunker_fingerprint(max_tokens: int, sizes: ChunkSizes | None = None) -> str:
    """Identifies everything that decides the cuts, except the tokenizer, which the encoder identifies."""
    sizes = sizes or ChunkSizes()
    splitter = version("semantic-text-splitter")
    total = min(sizes.total, max_tokens)
    return f"winnow-{VERSION}/semantic-text-splitter-{splitter}/{total}-{sizes.context}-{sizes.overlap}"


def _with_base(text: str, span: Span) -> Span:
    """A span extended to its first base character: trimmed white space may have carried marks."""
    start = span[0]
    while start > 0 and unicodedata.category(text[start]) in ("Mn", "Me", "Mc"):
        start -= 1
    return start, span[1]


def _splitter(length: Callable[[str], int], structured: bool, size: int) -> Any:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    kind = MarkdownSplitter if structured else TextSplitter
    return kind.from_callback(length, size)


def _numbered(
    document: Document, found: Sequence[tuple[Span, Path]], outline: Outline, rows: Sequence[PageStart]
) -> list[Chunk]:
    seen: Counter[str] = Counter()
    chunks = []
    counter = RowCounter(document.text, rows)
    for ordinal, ((start, end), path) in enumerate(found):
        text = document.text[start:end]
        chunks.append(
            Chunk(
                id=chunk_id(document.id, text, seen[text]),
                document_id=document.id,
                source=document.source,
                title=path.title,
                text=text,
                start=start,
                end=end,
                ordinal=ordinal,
                headings=path.headings,
                page=outline.page(start),
                metadata=counter.with_row(document.metadata, start),
            )
        )
        seen[text] += 1
    return chunks
