"""Hostile text is read in time that grows as it does: with its square, each of these would take minutes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ingest.chunking.outline import Outline
from ingest.loaders import markdown, metadata, rtf, subtitles
from ingest.loaders.base import Source
from ingest.loaders.office.number_formats import formatted, is_date
from ingest.loaders.pdf.sentences import Vocabulary
from storage.records import Document, Heading

N = 300_000


@pytest.mark.parametrize("code", ["[" * N, "[$" * N, "," * N, '"' * N, "[h" * N])
def test_a_number_format_longer_than_excel_takes_leaves_the_number_as_it_is(code: str) -> None:
    assert formatted("1234.5", code) == "1234.5"
    assert not is_date(code)


@pytest.mark.parametrize(
    ("load", "text"),
    [
        (subtitles.load, "WEBVTT" + "\n" * N + "\n\n00:01.000 --> 00:02.000\nwords"),
        (subtitles.load, "WEBVTT\n\n00:01.000 --> 00:02.000\nwords <v" + " " * N),
        (rtf.load, "{\\rtf1 words " + "|" * N + "x}"),
        (markdown.load, "# words" + " " * N + "x\n"),
        (markdown.load, "---\nwords" + " " * N + "x\n---\n"),
        (markdown.load, "---\na: [\nb: words" + " x    " * (N // 6) + " " * N + "\n---\n"),
    ],
    ids=[
        "empty lines",
        "a wide speaker",
        "bars",
        "a wide heading",
        "a wide key",
        "a wide value",
    ],
)
def test_a_line_of_one_kind_is_read(load: Callable[[Source], object], text: str) -> None:
    assert "words" in str(load(Source("a", text.encode())))


@pytest.mark.parametrize("text", ["words" * N, "words" + "-" * N, "words " + "'" * N])
def test_a_line_of_a_page_without_a_hyphen_stays_as_it_is(text: str) -> None:
    assert Vocabulary(()).joined(text) == text


@pytest.mark.parametrize("under", [" " * N + "x", "=" * N + " " * N + "x", "> " * N])
def test_a_wide_line_below_a_heading_is_no_underline(under: str) -> None:
    text = f"A heading that reads otherwise here\n{under}\nwords"
    document = Document(
        id="a", source="a", title="", text=text, mime="", content_hash="", headings=(Heading(0, 1, "Other"),)
    )
    assert Outline(document).path((0, 5)) == ("Other",)


def test_an_entry_of_broken_front_matter_is_read_without_its_quotes() -> None:
    """Where the block is not quite YAML, its lines that are `key: value` are."""
    fields, _ = metadata.front_matter('---\nbad: [\ntitle: "A title"   \nauthor: \'Ann" \n---\ntext')
    assert fields["title"] == "A title"
    assert fields["author"] == "'Ann\""
