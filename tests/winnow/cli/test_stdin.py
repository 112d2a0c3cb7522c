"""`-` is standard input: a question, texts, a document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.shell import as_json, run
from winnow.cli.app import app

pytestmark = pytest.mark.heavy


def piped(content: str | bytes, *words: object) -> Any:
    """Run a command with this standard input."""
    return CliRunner().invoke(app, [str(word) for word in words], input=content)


@pytest.mark.parametrize("command", ["ask", "search"])
def test_a_question_is_piped(data: Path, command: str) -> None:
    """The question is what was piped, without the line's end or a byte order mark."""
    done = piped("\ufeff重排序做什么？\n", command, "-", "--data-dir", data, "--json")
    assert json.loads(done.stdout)["question"] == "重排序做什么？"


def test_a_question_or_its_texts_are_piped(tmp_path: Path) -> None:
    """Either may come from standard input, not both."""
    texts = tmp_path / "texts.txt"
    texts.write_text("a stone\nan apple is a fruit\n", encoding="utf-8")
    for content, words in ((texts.read_bytes(), ("fruit?", "-")), (b"fruit?\n", ("-", texts))):
        done = piped(content, "rerank", *words, "--json")
        assert json.loads(done.stdout)["results"][0]["text"] == "an apple is a fruit"
    both = piped("fruit?", "rerank", "-", "-")
    assert both.exit_code == 2
    assert "cannot both be standard input" in both.stderr


def test_a_document_is_piped(tmp_path: Path) -> None:
    """A name says how to read it, and the same name takes its place; without one its content names it."""
    data = tmp_path / "data"
    for minutes in (3, 4):
        content = f"# Tea\n\n## Black\n\nBlack tea is brewed for {minutes} minutes.\n"
        done = piped(content, "ingest", "-", "--name", "tea.md", "--data-dir", data)
        assert done.exit_code == 0, done.output
    for _ in range(2):
        assert piped("Green tea needs cooler water.", "ingest", "-", "--data-dir", data).exit_code == 0
    documents = as_json("documents", "list", "--data-dir", data)
    assert [Path(one["source"]).name[:14] for one in documents] == ["standard-input", "tea.md"]
    answer = as_json("ask", "How long is black tea brewed?", "--data-dir", data)
    assert "4 minutes" in answer["text"]
    assert answer["citations"][0]["headings"] == ["Tea", "Black"]


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (b"", ("ask", "-"), "no question"),
        (b"\xff\xfe\xff", ("ask", "-"), "UTF-8"),
        (b" \n", ("ingest", "-"), "empty"),
        (b"%PDF-1.7 \x00", ("ingest", "-"), "--name"),
        (b"text", ("ingest", "file.md", "--name", "x.md"), "for standard input"),
    ],
)
def test_what_cannot_be_read_says_why(
    tmp_path: Path, content: bytes, words: tuple[str, ...], said: str
) -> None:
    """Nothing, bytes that are no text, and a name for a file are sentences with the way out."""
    done = piped(content, *words, "--data-dir", tmp_path)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_piped_document_that_is_refused_leaves_no_file(tmp_path: Path) -> None:
    """What became no document of the collection is deleted again, after a dry run too."""
    refused = piped(b"%PDF-1.7 broken", "ingest", "-", "--name", "x.pdf", "--data-dir", tmp_path)
    assert refused.exit_code == 3
    assert piped("Some text.", "ingest", "-", "--dry-run", "--data-dir", tmp_path).exit_code == 0
    assert not [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]
    assert run("documents", "list", "--data-dir", tmp_path, "--status", "ingested").stdout == ""
