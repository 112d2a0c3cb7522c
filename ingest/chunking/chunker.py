"""Cuts documents into passages of bounded length in the encoder's tokens, at breaks in the text.

semantic-text-splitter does the splitting. In addition, Chinese semicolons end a clause, a heading stays with
the text after it, a passage after a cut within a paragraph begins with the last sentences of the one before,
and the context line (title and heading path) counts and is limited to a share of the passage. So is the line
about the passage (the document's summary, or what a chat model will write), where passages have one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from ingest.chunking.breaks import LONGEST_GRAPHEME, UNBROKEN, breakable, stretches, with_base, without_runs
from ingest.chunking.code import grammar
from ingest.chunking.context import Contexts, Path, shortened
from ingest.chunking.outline import Outline, RowCounter, Span
from ingest.chunking.sizes import ChunkSizes, tokens_about
from ingest.chunking.summary import summary_of
from storage.qdrant.contract import chunk_id
from storage.records import Chunk, Document, PageStart
from storage.vectors import TokenCounter

# Bounds text that a tokenizer takes as one unknown word (200,000 letters without a space, say).
_CHARACTERS_PER_TOKEN = 12
_SENTENCE_START = re.compile(r"(?:[。！？；…][”’」』）]*|[.!?][\"'”’)]*\s+|\n)(?=\S)")
# A row of a table is not torn by the sentences in it.
_LINE_START = re.compile(r"\n(?=\S)")
# A part of this many times the length of an average passage is too long without being counted.
_SURELY_TOO_LONG = 4
_SAMPLES, _SAMPLE = 8, 2000


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
        self._sizes = sizes
        self._about = tokens_about(counter, max_tokens, sizes)
        self._room = self._limit  # for context line and text
        self._characters = self._limit * _CHARACTERS_PER_TOKEN
        self._by_characters: Any = TextSplitter(self._characters)
        self._length = counter.counting("")
        self._text = ""  # the document's, at the same offsets, as the splitter sees it
        self._start = _SENTENCE_START  # where an overlap may begin

    def chunks(self, document: Document, rows: Sequence[PageStart] = ()) -> list[Chunk]:
        """The passages of a document, in order; `rows` as in `ingest.loaders.base.Loaded`."""
        outline = Outline(document)
        text = "\n".join((document.title, document.text))
        self._length = self._counter.counting(without_runs(text))
        self._text = breakable(document.text)
        self._start = _LINE_START if rows else _SENTENCE_START
        contexts = Contexts(document.title, self._length, self._context, _CHARACTERS_PER_TOKEN)
        longest = max(contexts.path(headings).tokens for headings in outline.paths())
        about, self._room = "", self._limit
        whole = self._whole(document.text, self._room - longest)
        if not whole:  # a passage that is a document says everything about it
            about, reserved = self._line_about(document)
            self._room -= reserved
        spans = whole or self._within_the_limit(document, outline, contexts, self._room - longest)
        found = [(with_base(document.text, span), contexts.path(outline.path(span))) for span in spans]
        return _numbered(document, found, outline, rows, about)

    def _line_about(self, document: Document) -> tuple[str, int]:
        """The line about each passage, where it is known by now, and the tokens to keep for it."""
        if self._sizes.about != "summary":
            return "", self._about
        line = shortened(summary_of(document.text), self._about, self._length, _CHARACTERS_PER_TOKEN)
        return line, self._length(f"{line}\n") if line else 0

    def _within_the_limit(
        self, document: Document, outline: Outline, contexts: Contexts, room: int
    ) -> Iterator[Span]:
        """The splitter's spans; those that are too long (joined, or with a long context) are halved."""
        text = document.text
        spans = list(self._spans(document, outline, room))
        lengths = {span: self._length(text[slice(*span)]) for span in spans}
        stack = spans[::-1]
        while stack:
            span = stack.pop()
            length = lengths[span] if span in lengths else self._length(text[slice(*span)])
            too_long = length > self._room or length + contexts.path(outline.path(span)).tokens > self._room
            if too_long and (halves := self._halves(span)):
                stack.extend(reversed(halves))
            else:
                yield span

    def _whole(self, text: str, room: int) -> list[Span]:
        """The whole text as one passage if it fits, as most records and notes do."""
        if len(text) > self._characters or self._length(text) > room:
            return []
        start = len(text) - len(text.lstrip())
        return [(start, len(text.rstrip()))] if text.strip() else []

    def _spans(self, document: Document, outline: Outline, room: int) -> Iterator[Span]:
        text = document.text
        size = max(8, (room - self._overlap) // 8 * 8)
        splitter = _splitter(self._bounded(text, size), document, size)
        pieces = list[Span]()
        last = 0
        for run in UNBROKEN.finditer(self._text):
            pieces += self._split(splitter, last, run.start())
            pieces += self._cut_by_length(run.span(), size)
            last = run.end()
        pieces += self._split(splitter, last, len(text))
        return self._overlapped(text, outline.with_headings(pieces))

    def _split(self, splitter: Any, start: int, end: int) -> Iterator[Span]:
        """The splitter's pieces of a part of the text."""
        for first, last in stretches(self._text, start, end):
            for at, piece in splitter.chunk_indices(self._text[first:last]):
                yield from self._not_too_long((first + at, first + at + len(piece)))

    def _cut_by_length(self, run: Span, size: int) -> Iterator[Span]:
        """A run without a place to cut at, in pieces of at most `size` tokens and of whole graphemes."""
        from semantic_text_splitter import TextSplitter

        at, characters = run[0], size
        while at < run[1]:
            ahead = self._text[at : min(run[1], at + characters + LONGEST_GRAPHEME)]
            piece = TextSplitter(characters).chunks(ahead)[0]
            tokens = self._length(piece)
            if tokens <= size or len(piece) == 1:
                yield at, at + len(piece)
                at += len(piece)
            # by the tokens of this piece the next one is full, or this one short enough
            fitting = len(piece) * size // max(1, tokens) * 19 // 20
            characters = max(1, min(fitting, self._characters if tokens <= size else len(piece) - 1))

    def _bounded(self, text: str, size: int) -> Callable[[str], int]:
        """The tokens of a part; of one that is far too long for a passage only that it is.

        The splitter asks for the length of everything that is left, again and again.
        """
        step = max(1, len(text) // _SAMPLES)
        samples = [text[at : at + _SAMPLE] for at in range(0, len(text), step)]
        tokens, characters = sum(map(self._length, samples)), sum(map(len, samples))
        longest = min(self._characters, _SURELY_TOO_LONG * size * characters // max(1, tokens) + size)

        @lru_cache(maxsize=256)  # of a text that repeats itself, as hostile ones do
        def length(part: str) -> int:
            return self._length(part) if len(part) <= longest else size + len(part)

        return length

    def _not_too_long(self, span: Span) -> list[Span]:
        if span[1] - span[0] <= self._characters:
            return [span]
        parts = self._by_characters.chunk_indices(self._text[span[0] : span[1]])
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
        starts = [match.end() for match in self._start.finditer(text, floor, before[1])]
        starts = [at for at in starts if at < before[1]]
        # the later a part begins, the shorter it is
        first = bisect_left(starts, True, key=lambda at: self._length(text[at:start]) <= self._overlap)
        return starts[first] if first < len(starts) else start

    def _halves(self, span: Span) -> list[Span]:
        """A passage that is too long as two or more; empty if it is one grapheme."""
        size = (span[1] - span[0]) // 2
        if size == 0:
            return []
        from semantic_text_splitter import TextSplitter

        parts = TextSplitter(size + 1).chunk_indices(self._text[span[0] : span[1]])
        whole = [(span[0] + start, span[0] + start + len(part)) for start, part in parts]
        return whole if len(whole) > 1 else []


def _splitter(length: Callable[[str], int], document: Document, size: int) -> Any:
    from semantic_text_splitter import CodeSplitter, MarkdownSplitter, TextSplitter

    if (language := grammar(document.mime)) is not None:
        return CodeSplitter.from_callback(language, length, size)
    kind = MarkdownSplitter if document.structured else TextSplitter
    return kind.from_callback(length, size)


def _numbered(
    document: Document,
    found: Sequence[tuple[Span, Path]],
    outline: Outline,
    rows: Sequence[PageStart],
    about: str,
) -> list[Chunk]:
    seen: Counter[str] = Counter()
    chunks = []
    counter = RowCounter(document.text, rows)
    quoted = about.removesuffix("…")
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
                about="" if quoted and quoted in " ".join(text.split()) else about,
                metadata=counter.with_row(document.metadata, start),
            )
        )
        seen[text] += 1
    return chunks
