"""Markers in answers: found in every form models write, checked, resolved to places."""

from __future__ import annotations

import anyio
import pytest

from generation.base import adapted
from generation.citations import cite, markers, places, resolve
from storage.errors import BadInputError, StageError
from storage.records import Candidate, Chunk, Generation, Outcome

PASSAGES = [
    Candidate(
        Chunk(
            id=f"c{n}",
            document_id=f"d{n}",
            source=f"notes/{n}.md",
            title=f"Title {n}",
            text=f"Passage number {n}.",
            start=100 * n,
            end=100 * n + 17,
            headings=("Part", f"Section {n}"),
            page=n,
        )
    )
    for n in (1, 2, 3)
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Yes [1].", [1]),
        ("Yes [1][2], and [3]", [1, 2, 3]),
        ("Yes [1, 2] [2,3].", [1, 2, 3]),
        ("Yes [1-3].", [1, 2, 3]),
        ("Yes [1，2、3；4].", [1, 2, 3, 4]),
        ("是的【1】，以及［２］。", [1, 2]),
        ("From a tool 【2†source】.", [2]),
        ("growth[1]fast", [1]),
        ("[3] then [1] then [3]", [3, 1]),
        ("In [2024] and [^1] and [a] and [].", []),
        ("[0] and [99]", [0, 99]),
        ("`scores[1]` and\n```\nx = y[2]\n```\nbut [3]", [3]),
        ("```\nnever closed [1]", []),
        ("[3-1]", [3, 1]),
        ("[1-900]", [1, 900]),
    ],
)
def test_markers_are_found_in_every_form(text: str, found: list[int]) -> None:
    """Half-width, full-width, lists and ranges count; years, footnotes and code do not."""
    assert markers(text) == found


def test_a_marker_resolves_to_chunk_document_place_and_span() -> None:
    """A citation gives the passage's place in the document and its page."""
    (citation,) = resolve("So it is [2].", PASSAGES).citations
    assert (citation.marker, citation.chunk_id, citation.document_id) == (2, "c2", "d2")
    assert (citation.source, citation.title, citation.page) == ("notes/2.md", "Title 2", 2)
    assert (citation.start, citation.end, citation.quote) == (200, 217, "")
    assert citation.headings == ("Part", "Section 2")


def test_a_quoted_span_is_counted_in_the_document() -> None:
    """A span within the passage is converted to document offsets, and the quote holds its words."""
    citation = cite(3, PASSAGES[2], (8, 16))
    assert (citation.start, citation.end, citation.quote) == (308, 316, "number 3")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Well [1].", None),
        ("No marker at all.", "the answer cites no passage"),
        ("Well [1], [4] and [0].", r"the answer cites [4], [0], but 3 passages were given"),
    ],
)
def test_bad_citing_is_said(text: str, complaint: str | None) -> None:
    """An answer without citations, or citing a passage it was not given, draws a complaint."""
    assert resolve(text, PASSAGES).complaint == complaint


def test_a_passage_that_was_not_shown_cannot_be_cited() -> None:
    """A marker for a passage that the model never saw counts as unknown."""
    resolved = resolve("See [1] and [3].", PASSAGES, given=(2, 1))
    assert [citation.marker for citation in resolved.citations] == [1]
    assert (resolved.unknown, resolved.given) == ((3,), 2)


class TextGenerator:
    """A user's plain object that returns a text."""

    name = "mine"

    def __init__(self, text: object) -> None:
        self.text = text

    def generate(self, question: str, candidates: list[Candidate]) -> object:
        candidates.clear()
        return self.text


class AsyncGenerator(TextGenerator):
    """The same, asynchronous."""

    async def generate(self, question: str, candidates: list[Candidate]) -> object:
        return self.text


@pytest.mark.parametrize("kind", [TextGenerator, AsyncGenerator])
def test_a_users_text_gets_its_citations(kind: type[TextGenerator]) -> None:
    """A plain or async object that returns a text becomes a Generator, and its markers citations."""
    given = list(PASSAGES)
    generation = anyio.run(adapted(kind("So it is [3].")).generate, "?", given)  # type: ignore[arg-type]
    assert (generation.text, generation.answerer, generation.answered) == ("So it is [3].", "mine", True)
    assert [citation.chunk_id for citation in generation.citations] == ["c3"]
    assert generation.outcome.status == "ok"
    assert len(given) == 3


def test_a_users_text_without_citations_is_flagged() -> None:
    """A user's text without citations is kept, and the outcome says what is missing."""
    generation = anyio.run(adapted(TextGenerator("So.")).generate, "?", PASSAGES)  # type: ignore[arg-type]
    assert (generation.outcome.status, generation.outcome.reason) == (
        "partial",
        "the answer cites no passage",
    )


def test_a_users_generation_is_taken_as_it_is() -> None:
    """A Generation from a user's object passes through unchanged."""
    ready = Generation(text="x", outcome=Outcome("generation"), answerer="mine")
    assert anyio.run(adapted(TextGenerator(ready)).generate, "?", PASSAGES) is ready  # type: ignore[arg-type]


def test_what_is_no_generator_is_refused_by_name() -> None:
    """An object without `generate`, or a result of another type, is refused by name."""
    with pytest.raises(BadInputError, match="int is no generator"):
        adapted(3)  # type: ignore[arg-type]
    with pytest.raises(StageError, match="mine gave back a int"):
        anyio.run(adapted(TextGenerator(3)).generate, "?", PASSAGES)  # type: ignore[arg-type]


def test_a_quotations_own_brackets_are_no_marker() -> None:
    """In an answer that quotes, only what follows a quotation cites: its `[2]` is the source's."""
    quotes = ["See [2] and *this*, `a[1]`.", "| E1 | empty |", "```sh\nls [1]\n```"]
    passages = [Candidate.from_text(quote, id=str(n)) for n, quote in enumerate(quotes)]
    cited = [cite(n, passage, (0, len(passage.text))) for n, passage in enumerate(passages, 1)]
    text = "See [2] and this, `a[1]`. [1]\n\n| E1 | empty |\n[2]\n\n```sh\nls [1]\n```\n[3]"
    assert [(text[start:end], numbers) for start, end, numbers in places(text, cited)] == [
        ("[1]", (1,)),
        ("[2]", (2,)),
        ("[3]", (3,)),
    ]
    assert [numbers for _, _, numbers in places("So [1], [2].", [cite(1, passages[0])])] == [(1,), (2,)]
