"""Documents → passages: at most so many of the encoder's own tokens, cut where the text itself pauses.

The splitting is semantic-text-splitter's. What is added here: Chinese semicolons end a clause; a heading
stays with what follows it; where a paragraph had to be cut, the next passage begins with the last sentences
of the one before; the context line (title and heading path) counts, and is cut before it eats the passage.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from storage.records import Chunk, Document, Heading, PageStart, Scalar
from storage.store import chunk_id

VERSION = 1
# Text that a tokenizer swallows whole (200,000 letters without a space are one unknown word) is cut here.
_CHARACTERS_PER_TOKEN = 12
_SENTENCE_START = re.compile(r"(?:[。！？；…][”’」』）]*|[.!?][\"'”’)]*\s+|\n)(?=\S)")
_SEMICOLON = str.maketrans("；", "。")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSizes:
    """In tokens of the encoder. `total` counts the context line and special tokens; it is cut to what the
    encoder reads. `context` caps title and heading path, `overlap` what two passages share."""

    total: int = 256
    context: int = 48
    overlap: int = 24


@dataclass(frozen=True, slots=True)
class _Path:
    title: str
    headings: tuple[str, ...]
    tokens: int = 0


class Chunker:
    """Cuts documents for one encoder."""

    def __init__(self, tokenizer_json: str, max_tokens: int, sizes: ChunkSizes | None = None) -> None:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter
        from tokenizers import Tokenizer

        sizes = sizes or ChunkSizes()
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        special = self._tokenizer.num_special_tokens_to_add(False)
        # One token of slack: joined texts may tokenize into one more than their parts.
        self._limit = min(sizes.total, max_tokens) - special - 1
        self._context = min(sizes.context, self._limit // 4)
        self._overlap = min(sizes.overlap, self._limit // 8)
        size = self._limit - self._context - self._overlap
        self._characters = size * _CHARACTERS_PER_TOKEN
        self._markdown: Any = MarkdownSplitter.from_huggingface_tokenizer_str(tokenizer_json, size)
        self._plain: Any = TextSplitter.from_huggingface_tokenizer_str(tokenizer_json, size)
        self._by_characters: Any = TextSplitter(self._characters)

    def chunks(self, document: Document, rows: Sequence[PageStart] = ()) -> list[Chunk]:
        """The passages of a document, in order; `rows` as in `ingest.loaders.base.Loaded`."""
        spans = list(self._spans(document))
        outline = _Outline(document)
        paths: dict[tuple[str, ...], _Path] = {}
        found: list[tuple[Span, _Path]] = []
        stack = spans[::-1]
        lengths = dict(zip(spans, self._lengths(document.text, spans), strict=True))
        while stack:
            span = stack.pop()
            path = self._path(document.title, outline.path(span), paths)
            length = lengths[span] if span in lengths else self._length(document.text[slice(*span)])
            if length + path.tokens > self._limit and (halves := self._halves(document.text, span)):
                stack.extend(reversed(halves))
            else:
                found.append((span, path))
        return _numbered(document, found, outline, rows)

    def _spans(self, document: Document) -> Iterator[Span]:
        text = document.text
        splitter = self._markdown if document.structured else self._plain
        # The shadow has the text's offsets, and semicolons where the splitter sees the end of a sentence.
        pieces = [
            (start, start + len(piece)) for start, piece in splitter.chunk_indices(text.translate(_SEMICOLON))
        ]
        pieces = [part for piece in pieces for part in self._not_too_long(text, piece)]
        return self._overlapped(text, _with_headings(text, pieces, document.headings))

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
        """Where the last whole sentences of a passage begin that fit into the overlap; `start` if none do."""
        if self._overlap == 0:
            return start
        floor = max(before[0], before[1] - self._overlap * _CHARACTERS_PER_TOKEN)
        for match in _SENTENCE_START.finditer(text, floor, before[1]):
            if match.end() < before[1] and self._length(text[match.end() : start]) <= self._overlap:
                return match.end()
        return start

    def _length(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _lengths(self, text: str, spans: Sequence[Span]) -> list[int]:
        texts = [text[start:end] for start, end in spans]
        return [
            len(found.ids) for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ]

    def _halves(self, text: str, span: Span) -> list[Span]:
        """A passage that is still too long, in two or more; empty where it is one grapheme."""
        size = (span[1] - span[0]) // 2
        if size == 0:
            return []
        from semantic_text_splitter import TextSplitter

        parts = TextSplitter(size + 1).chunk_indices(text[span[0] : span[1]])
        whole = [(span[0] + start, span[0] + start + len(part)) for start, part in parts]
        return whole if len(whole) > 1 else []

    def _path(self, title: str, headings: tuple[str, ...], known: dict[tuple[str, ...], _Path]) -> _Path:
        if headings not in known:
            known[headings] = self._cut(title, headings)
        return known[headings]

    def _cut(self, title: str, headings: tuple[str, ...]) -> _Path:
        """Title and heading path within the cap: outer headings go first, then words are cut."""
        path = self._measured(title, headings)
        while path.tokens > self._context and len(path.headings) > 1:
            path = self._measured(title, path.headings[1:])
        share = self._context // (2 if path.headings else 1)
        if path.tokens > self._context:
            path = self._measured(self._shortened(title, share), path.headings)
        if path.tokens > self._context and path.headings:
            path = self._measured(path.title, (self._shortened(path.headings[0], share),))
        return path if path.tokens <= self._context else _Path("", ())

    def _measured(self, title: str, headings: tuple[str, ...]) -> _Path:
        context = _context(title, headings)
        return _Path(title, headings, self._length(f"{context}\n") if context else 0)

    def _shortened(self, text: str, tokens: int) -> str:
        if self._length(text) <= tokens - 4 and len(text) <= tokens * _CHARACTERS_PER_TOKEN:
            return text
        text = text[: tokens * _CHARACTERS_PER_TOKEN]
        while len(text) > 1 and self._length(text) > tokens - 4:
            text = text[: len(text) * 3 // 4]
        return text.rstrip() + "…"


def chunker_fingerprint(max_tokens: int, sizes: ChunkSizes | None = None) -> str:
    """Names everything that decides where the cuts fall, but for the tokenizer, which the encoder names."""
    sizes = sizes or ChunkSizes()
    splitter = version("semantic-text-splitter")
    total = min(sizes.total, max_tokens)
    return f"winnow-{VERSION}/semantic-text-splitter-{splitter}/{total}-{sizes.context}-{sizes.overlap}"


def _context(title: str, headings: tuple[str, ...]) -> str:
    return Chunk(
        id="", document_id="", source="", title=title, text="", start=0, end=0, headings=headings
    ).context


class _Outline:
    """Which headings and which page hold at a place of a document."""

    def __init__(self, document: Document) -> None:
        self._text = document.text
        self._headings = document.headings
        self._offsets = [heading.offset for heading in document.headings]
        self._pages = document.pages
        self._page_offsets = [page.offset for page in document.pages]
        self._paths = list(_paths(document.headings))

    def path(self, span: Span) -> tuple[str, ...]:
        """The path at the first text of a passage that is not a heading itself."""
        index = bisect_right(self._offsets, span[0])
        while index < len(self._offsets) and self._offsets[index] < span[1]:
            begun = self._text[span[0] : self._offsets[index]]
            if begun.strip() and (index == 0 or not _only_headings(begun)):
                break
            index += 1
        return self._paths[index - 1] if index else ()

    def page(self, offset: int) -> int | None:
        index = bisect_right(self._page_offsets, offset)
        return self._pages[index - 1].page if index else None


def _paths(headings: Sequence[Heading]) -> Iterator[tuple[str, ...]]:
    open_ones: list[Heading] = []
    for heading in headings:
        while open_ones and open_ones[-1].level >= heading.level:
            open_ones.pop()
        open_ones.append(heading)
        yield tuple(one.title for one in open_ones)


def _only_headings(text: str) -> bool:
    """Whether nothing but heading lines stands in a text that begins with a heading."""
    lines = [line for line in text.split("\n") if line.strip(" =-\t")]
    return len(lines) <= 1 or all(line.lstrip().startswith("#") for line in lines)


def _with_headings(text: str, spans: Sequence[Span], headings: Sequence[Heading]) -> list[Span]:
    """Spans that are headings alone, joined to the span that follows."""
    offsets = [heading.offset for heading in headings]
    joined: list[Span] = []
    start: int | None = None
    for index, span in enumerate(spans):
        begin = span[0] if start is None else start
        found = bisect_right(offsets, span[0])
        begins_with_heading = found > 0 and offsets[found - 1] == span[0]
        if begins_with_heading and index + 1 < len(spans) and _only_headings(text[span[0] : span[1]]):
            start = begin
            continue
        joined.append((begin, span[1]))
        start = None
    return joined


def _numbered(
    document: Document, found: Sequence[tuple[Span, _Path]], outline: _Outline, rows: Sequence[PageStart]
) -> list[Chunk]:
    seen: Counter[str] = Counter()
    chunks = []
    counter = _RowCounter(document.text, rows)
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


class _RowCounter:
    """The number of the table row in which a passage begins, found by counting lines."""

    def __init__(self, text: str, rows: Sequence[PageStart]) -> None:
        self._text = text
        self._rows = rows
        self._offsets = [row.offset for row in rows]
        self._run = -1
        self._counted = (0, 0)  # up to this offset, this row

    def with_row(self, metadata: Mapping[str, Scalar], start: int) -> Mapping[str, Scalar]:
        run = bisect_right(self._offsets, start) - 1
        if run < 0:
            return metadata
        if run != self._run or start < self._counted[0]:
            self._run, self._counted = run, (self._rows[run].offset, self._rows[run].page)
        offset, row = self._counted
        self._counted = (start, row + self._text.count("\n", offset, start))
        return {**metadata, "row": self._counted[1]}
