"""Hostile text is read in time that grows as it does: with its square, each of these would take minutes.

They are read in a process of their own, since nothing else can end a pattern that does not come back. Its
limit lies far from both: all together they take seconds, and the quickest pattern of that kind five minutes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ingest.chunking.outline import Outline
from ingest.loaders import markdown, metadata, rtf, subtitles
from ingest.loaders.base import Source
from ingest.loaders.office.number_formats import formatted, is_date
from ingest.loaders.pdf.sentences import Vocabulary
from storage.records import Document, Heading

N = 600_000
LIMIT_S = 60


def number_formats() -> None:
    """One that is longer than Excel takes leaves the number as it is."""
    for code in ("[" * N, "[$" * N, "," * N, '"' * N, "[h" * N):
        _begun(code)
        assert formatted("1234.5", code) == "1234.5"
        assert not is_date(code)


def lines_of_one_kind() -> None:
    for load, text in (
        (subtitles.load, "WEBVTT" + "\n" * N + "\n\n00:01.000 --> 00:02.000\nwords"),
        (subtitles.load, "WEBVTT\n\n00:01.000 --> 00:02.000\nwords <v" + " " * N),
        (rtf.load, "{\\rtf1 words " + "|" * N + "x}"),
        (markdown.load, "# words" + " " * N + "x\n"),
        (markdown.load, "---\nwords" + " " * N + "x\n---\n"),
        (markdown.load, "---\na: [\nb: words" + " x    " * (N // 6) + " " * N + "\n---\n"),
    ):
        _begun(f"{load.__module__} {text}")
        assert "words" in str(load(Source("a", text.encode())))


def lines_of_a_page() -> None:
    """One without a hyphen stays as it is."""
    for text in ("words" * N, "words" + "-" * N, "words " + "'" * N):
        _begun(text)
        assert Vocabulary(()).joined(text) == text


def wide_lines_below_a_heading() -> None:
    """None of them is an underline."""
    for under in (" " * N + "x", "=" * N + " " * N + "x", "> " * N):
        _begun(under)
        text = f"A heading that reads otherwise here\n{under}\nwords"
        outline = Outline(
            Document(
                id="a",
                source="a",
                title="",
                text=text,
                mime="",
                content_hash="",
                headings=(Heading(0, 1, "Other"),),
            )
        )
        assert outline.path((0, 5)) == ("Other",)


def read_all() -> None:
    """Read all of them, and print the beginning of each before."""
    number_formats()
    lines_of_one_kind()
    lines_of_a_page()
    wide_lines_below_a_heading()


def _begun(text: str) -> None:
    sys.stdout.write(f"{text[:70]!r}\n")
    sys.stdout.flush()


def test_hostile_text_is_read_in_time_that_grows_as_it_does() -> None:
    """Within the limit, and as what it is; a failure names the text that was being read."""
    command = [sys.executable, "-c", "from tests.ingest.test_linear import read_all; read_all()"]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as child:
        try:
            said, _ = child.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            pytest.fail(f"not read in {LIMIT_S} s: {child.communicate()[0].splitlines()[-1:]}")
    assert child.returncode == 0, said


def test_an_entry_of_broken_front_matter_is_read_without_its_quotes() -> None:
    """Lines of `key: value` are read from front matter that is not valid YAML."""
    fields, _ = metadata.front_matter('---\nbad: [\ntitle: "A title"   \nauthor: \'Ann" \n---\ntext')
    assert fields["title"] == "A title"
    assert fields["author"] == "'Ann\""
