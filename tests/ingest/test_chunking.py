"""Passages: within the encoder's limit, true to the document, cut where the text pauses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
import regex
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.chunking.chunker import Chunker
from ingest.chunking.sizes import AboutName, ChunkSizes, about_of, chunker_fingerprint
from ingest.chunking.summary import summary_of
from ingest.loaders import Source, load
from ingest.loaders.markdown import headings_of
from ingest.loaders.text import clean
from storage.records import Chunk, Document, PageStart
from tests.support.ingestion import words_tokenizer

LIMIT = 40
WORDS = words_tokenizer()
CHUNKER = Chunker(words_tokenizer(), LIMIT, ChunkSizes(total=LIMIT, context=10, overlap=5))


def document(
    text: str, *, structured: bool = True, title: str = "Title", pages: tuple[PageStart, ...] = ()
) -> Document:
    return Document(
        id="d",
        source="d.md",
        title=title,
        text=text,
        mime="text/markdown",
        content_hash="",
        structured=structured,
        headings=headings_of(text) if structured else (),
        pages=pages,
    )


def length(text: str) -> int:
    return len(WORDS.encode(text).ids)


STRUCTURE = ["# Heading\n\n", "## 第二节\n\n", "\n\n", "\n", "- item\n", "| a | b |\n", "```\n", "\t", "　"]
SENTENCES = ["word ", "another word. ", "句子。", "分句；", "问？", "...", "x" * 700]
GRAPHEMES = ["👩\u200d👩\u200d👧", "e\u0301", "नि", "🇨🇳", "\u0301" * 30]
PIECES = st.sampled_from([*STRUCTURE, *SENTENCES, *GRAPHEMES])
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=60).map("".join).map(clean)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.booleans(), st.text(max_size=200).map(clean))
def test_passages_are_true_to_the_document_and_within_the_limit(
    text: str, structured: bool, title: str
) -> None:
    """Spans map back exactly, in order; no visible character is lost; the cap holds with the context line."""
    whole = document(text, structured=structured, title=title)
    chunks = CHUNKER.chunks(whole)
    covered = set[int]()
    for ordinal, chunk in enumerate(chunks):
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.ordinal == ordinal
        assert length(chunk.encoded_text) <= LIMIT
        covered.update(range(chunk.start, chunk.end))
    assert all(character.isspace() for i, character in enumerate(text) if i not in covered)
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@settings(max_examples=100, deadline=None)
@example(text="\u3000" + "\u0301" * 30, structured=False)
@given(TEXTS, st.booleans())
def test_a_passage_never_cuts_a_grapheme(text: str, structured: bool) -> None:
    """Both ends of every passage lie on boundaries of what a reader sees as one character."""
    boundaries = {0, len(text)} | {match.start() for match in regex.finditer(r"\X", text)}
    for chunk in CHUNKER.chunks(document(text, structured=structured)):
        assert {chunk.start, chunk.end} <= boundaries


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_the_same_document_gives_the_same_passages(text: str) -> None:
    """Ids derive from the document and the content alone."""
    assert CHUNKER.chunks(document(text)) == CHUNKER.chunks(document(text))


def test_the_heading_path_comes_with_the_passage() -> None:
    """The heading path is outermost first, and a deeper heading ends at the next higher one."""
    text = (
        "# A\n\nintro\n\n## B\n\n"
        + "one two three. " * 15
        + "\n\n### C\n\n"
        + "four five six. " * 15
        + "\n\n## D\n\n"
        + "seven. " * 30
    )
    paths = [chunk.headings for chunk in CHUNKER.chunks(document(text))]
    assert paths[0] == ("A",)
    assert set(paths) == {("A",), ("A", "B"), ("A", "B", "C"), ("A", "D")}


def test_a_passage_that_ends_one_section_and_begins_another_has_the_path_of_its_first_text() -> None:
    """A paragraph of one line is no heading, even where the next section begins within its passage."""
    text = "# A\n\n" + "one two three. " * 24 + "\n\nThe last line of A.\n\n## B\n\nA line of B.\n"
    last = next(chunk for chunk in CHUNKER.chunks(document(text)) if "last line" in chunk.text)
    assert last.text.startswith("The last line of A.")
    assert "A line of B." in last.text
    assert last.headings == ("A",)


def test_a_heading_stays_with_what_follows() -> None:
    """A heading is never a passage alone when text follows it."""
    text = (
        "# Guide\n\n## Install\n\n"
        + "Run the installer now. " * 20
        + "\n\n## Use\n\n"
        + "Ask it something new. " * 20
    )
    chunks = CHUNKER.chunks(document(text))
    assert chunks[0].text.startswith("# Guide\n\n## Install\n\nRun")
    assert all("\n\n" in chunk.text or not chunk.text.startswith("#") for chunk in chunks)
    assert any(chunk.text.startswith("## Use\n\nAsk") for chunk in chunks)


def test_a_cut_paragraph_overlaps_by_whole_sentences_and_paragraphs_do_not() -> None:
    """Passages overlap by their last sentence only where a paragraph had to be cut."""
    cut = CHUNKER.chunks(document(" ".join(f"Sentence {i} here." for i in range(40)), structured=False))
    for before, after in pairwise(cut):
        assert after.start < before.end
        assert after.text.startswith("Sentence")
    whole = CHUNKER.chunks(document("\n\n".join("one two three four five. " * 4 for _ in range(6))))
    assert all(after.start >= before.end for before, after in pairwise(whole))


@pytest.mark.parametrize("mark", ["。", "！", "？", "；"])
def test_chinese_is_cut_behind_its_sentence_ends(mark: str) -> None:
    """。！？； end a sentence; no passage ends within one."""
    text = "".join(f"本条规定第{'一二三四五六七八九'[i % 9]}项内容{mark}" for i in range(40))
    chunks = CHUNKER.chunks(document(text, structured=False))
    assert len(chunks) > 5
    assert all(chunk.text.endswith(mark) for chunk in chunks)


def test_a_text_without_spaces_does_not_become_one_passage() -> None:
    """Long text without spaces is split although its tokenizer sees one unknown word."""
    chunks = CHUNKER.chunks(document("x" * 20_000, structured=False))
    assert max(len(chunk.text) for chunk in chunks) <= LIMIT * 12
    assert "".join(chunk.text for chunk in chunks) == "x" * 20_000


def test_a_long_path_is_cut_before_it_eats_the_passage() -> None:
    """Title and headings share the cap; the innermost heading stays longest."""
    text = "# " + "Very long part " * 20 + "\n\n## Short\n\nBody."
    chunks = CHUNKER.chunks(document(text, title="An endless title " * 20))
    assert max(length(chunk.context) for chunk in chunks) <= 10
    assert chunks[-1].headings == ("Short",)
    assert chunks[-1].title.endswith("…")


def test_pages_and_rows_come_with_the_passage() -> None:
    """A passage carries the page and the row in which it begins."""
    text = "page one text. " * 20 + "\n\n" + "page two text. " * 20
    second = text.index("page two")
    chunks = CHUNKER.chunks(document(text, structured=False, pages=(PageStart(0, 1), PageStart(second, 2))))
    assert {chunk.page for chunk in chunks if chunk.start >= second} == {2}
    assert chunks[0].page == 1

    rows = "\n".join(f"name: item {i}; price: {i}" for i in range(50))
    for chunk in CHUNKER.chunks(document(rows, structured=False), rows=(PageStart(0, 2),)):
        first_line = chunk.text.split("\n")[0]
        if first_line.startswith("name: item"):
            assert chunk.metadata["row"] == 2 + int(first_line.split()[2].rstrip(";"))


def test_equal_passages_of_a_document_have_ids_of_their_own() -> None:
    """Equal passages of a document differ in id by their occurrence."""
    chunks = CHUNKER.chunks(document("\n\n".join(["same words " * 15] * 4), structured=False))
    assert len({chunk.id for chunk in chunks}) == len(chunks) > 1


@pytest.mark.parametrize(
    "text",
    [
        "e" + "\u0301" * 20_000,
        "👩\u200d" * 8_000,
        "." * 40_000,
        "y" * 40_000,
        "c\n" * 20_000,
        "> " * 12_000 + "end",
    ],
)
@pytest.mark.parametrize("structured", [True, False])
def test_no_kind_of_characters_makes_a_passage_too_long(text: str, structured: bool) -> None:
    """Marks, joined emoji, dots, one letter, short lines, nested quotes: nothing is lost or too long."""
    chunks = CHUNKER.chunks(document(text, structured=structured, title=""))
    assert max(length(chunk.text) for chunk in chunks) <= LIMIT
    assert max(len(chunk.text) for chunk in chunks) <= LIMIT * 12
    kept = set[int]().union(*(range(chunk.start, chunk.end) for chunk in chunks))
    assert all(at in kept or text[at].isspace() for at in range(len(text)))


def test_rows_of_a_table_are_not_torn() -> None:
    """A passage of a table is whole rows, though its cells hold sentences; so is its overlap."""
    rows = "".join(f"{i},It is broken. Call item {i}. Then wait.\n" for i in range(60))
    loaded = load(Source("/docs/a.csv", f"no,what\n{rows}".encode()))
    chunks = CHUNKER.chunks(document(loaded.text, structured=False), loaded.rows)
    assert len(chunks) > 10
    whole = set(loaded.text.split("\n"))
    assert all(line in whole for chunk in chunks for line in chunk.text.split("\n"))


def test_the_encoder_s_own_tokens_are_counted(encoder: object) -> None:
    """No passage of the default encoder has more than 256 tokens, in English and Chinese."""
    from retrieval.encoders.encoder import Encoder

    assert isinstance(encoder, Encoder)
    chunker = Chunker(encoder.counter, encoder.max_tokens)
    text = (
        "# Rerank\n\n"
        + "Supercalifragilistic antidisestablishmentarianism reranks. " * 60
        + "\n\n## 条文\n\n"
        + "第一条规定如下；" * 150
    )
    chunks = chunker.chunks(document(text))
    length = encoder.counter.counting(text)
    lengths = [length(chunk.encoded_text) + encoder.counter.special for chunk in chunks]
    assert max(lengths) <= 256
    assert sorted(lengths)[len(lengths) // 2] > 150


def test_the_fingerprint_names_splitter_sizes_and_version() -> None:
    """Any change of sizes is another fingerprint; sizes beyond the encoder are its limit."""
    assert "semantic-text-splitter" in chunker_fingerprint(256)
    assert chunker_fingerprint(256) != chunker_fingerprint(128)
    assert chunker_fingerprint(512) == chunker_fingerprint(8192)


def test_a_chunk_crosses_a_process_boundary(encoder: object) -> None:
    """Passages can be pickled, since parsers run in separate processes."""
    import pickle

    loaded = load(Source("/x/a.csv", b"name,price\npear,3\napple,4\n"))
    chunks = CHUNKER.chunks(document(loaded.text, structured=False), loaded.rows)
    assert pickle.loads(pickle.dumps(chunks)) == chunks
    assert isinstance(chunks[0], Chunk)


HOSTILE = {
    "words": lambda n: " ".join(f"{i * 7919 % 1_000_003:x}" for i in range(n)),
    "lines": lambda n: "a\n" * n,
    "headings": lambda n: "# h\n" * n,
    "items": lambda n: "- a\n" * n,
    "cells": lambda n: "|\n" * n,
    "quotes": lambda n: "> " * n + "a",
    "one line": lambda n: "y" * n,
    "Chinese": lambda n: "".join(chr(0x4E00 + i * 7919 % 20_000) for i in range(n)),
    "marks": lambda n: "e" + "\u0301" * n,
}


class _Counted:
    """A counter that adds up the characters it is asked to count."""

    special = 0

    def __init__(self) -> None:
        self.characters = 0

    def counting(self, text: str) -> Callable[[str], int]:
        def count(part: str) -> int:
            self.characters += len(part)
            return length(part)

        return count


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_work_grows_with_the_text_and_no_faster(kind: str) -> None:
    """Twice the text makes about twice the characters that are counted, and a bounded number each."""
    work = []
    for size in (3_000, 6_000):
        counter = _Counted()
        text = HOSTILE[kind](size)
        Chunker(counter, LIMIT, ChunkSizes(total=LIMIT, context=10, overlap=5)).chunks(document(text))
        work.append(counter.characters / len(text))
    assert work[1] < 1.3 * work[0]
    assert work[1] < 60


@pytest.mark.parametrize("letters", ["水泵的额定扭矩为二十五牛米，", "aGVsbG8gd29ybGQ/+"])
def test_text_without_a_place_to_cut_is_counted_a_few_times(letters: str) -> None:
    """Chinese without sentences, or base64, is cut by its tokens; the passages are full."""
    counter = _Counted()
    text = "".join(letters[i * i * 7919 % len(letters)] for i in range(20_000))
    chunks = Chunker(counter, LIMIT, ChunkSizes(total=LIMIT, context=10, overlap=5)).chunks(document(text))
    assert counter.characters < 4 * len(text)
    assert "".join(chunk.text for chunk in chunks) == text
    sizes = sorted(max(length(chunk.text), len(chunk.text) // 12) for chunk in chunks)
    assert LIMIT // 2 < sizes[len(sizes) // 2] <= sizes[-1] <= LIMIT


def test_text_without_a_place_to_cut_is_cut_between_graphemes() -> None:
    """A family, a flag and a letter with its mark stay whole, and what is around keeps its passages."""
    run = "👩\u200d👩\u200d👧e\u0301नि🇨🇳字" * 400
    text = f"A sentence before.\n\n{run}\n\nA sentence after."
    chunks = CHUNKER.chunks(document(text, structured=False))
    edges = {match.end() for match in regex.finditer(r"\X", text)} | {0}
    assert all(chunk.start in edges and chunk.end in edges for chunk in chunks)
    assert [chunks[0].text, chunks[-1].text] == ["A sentence before.", "A sentence after."]


OPENING = "The second edition explains how a pump of the series is taken apart and cleaned."
OPENING_ZH = "第二版说明如何拆开并清洗这一系列的水泵。"


def test_each_passage_has_the_documents_summary_within_the_limit() -> None:
    """Not the one that holds the sentence itself; the line counts in the budget."""
    chunker = Chunker(WORDS, 120, ChunkSizes(total=120, context=10, overlap=5, about="summary"))
    text = f"# Pumps\n\n{OPENING}\n\n" + "".join(f"## Part {n}\n\n{'some word. ' * 40}\n\n" for n in range(3))
    chunks = chunker.chunks(document(text))
    holding = [chunk for chunk in chunks if OPENING in chunk.text]
    assert [chunk.about for chunk in holding] == [""]
    assert {chunk.about for chunk in chunks if chunk not in holding} == {OPENING}
    assert chunks[-1].encoded_text.splitlines()[1] == OPENING
    assert max(length(chunk.encoded_text) for chunk in chunks) <= 120


def test_a_document_of_one_passage_needs_no_summary() -> None:
    """It is cut as without, and says everything about itself."""
    sizes = ChunkSizes(total=80, context=10, overlap=5)
    text = OPENING + " And nothing else."
    plain, with_lines = (
        Chunker(WORDS, 80, one).chunks(document(text)) for one in (sizes, replace(sizes, about="summary"))
    )
    assert plain == with_lines


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (f"# Title\n\nJ. Doe; A. Roe\nDOI:10.1371/x\n\n- a list\n\n{OPENING} Then more.", OPENING),
        (f"作者：张三\n\n{OPENING_ZH}后面还有。", OPENING_ZH),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ""),
        ("name: Kestrel; price: 12; weight: 3.5 kg", ""),
        ("See https://example.org/a/long/address for all of the many other things that are left.", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_summary_is_the_first_sentence_that_is_one(text: str, summary: str) -> None:
    """Names, addresses, lists, tables and rows of figures are none."""
    assert summary_of(text) == summary


def test_the_fingerprint_names_whose_lines_there_are() -> None:
    """Without lines it is what it was before there were any."""
    for name in get_args(AboutName):
        assert about_of(chunker_fingerprint(256, ChunkSizes(about=name))) == name
    assert chunker_fingerprint(256, ChunkSizes(about="off")) == chunker_fingerprint(256)
