"""Errors of the shell: exit codes, JSON under --json, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.shell import QUESTION, run

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("ask", "x", "--collection", "nothere"), 2, "nothere"),
        (("ask", " "), 2, "empty"),
        (("ask", "x", "--rerank", "late-interactoin"), 2, "late-interactoin"),
        (("ask", "x", "--rerank", "late-interaction:3"), 2, "3"),
        (("log", "show", "ffffffff"), 2, "ffffffff"),
        (("collections", "show", "nothere"), 2, "nothere"),
        (("ingest", "no/such/file.md"), 2, "no/such/file.md"),
    ],
)
def test_errors_are_json_under_json_and_sentences_otherwise(
    data: Path, words: tuple[str, ...], code: int, named: str
) -> None:
    """Errors are JSON under --json, else a sentence; no traceback, and the documented exit code."""
    spoken = run(*words, "--data-dir", data)
    assert spoken.exit_code == code
    assert named in " ".join(spoken.stderr.split())
    assert "Traceback" not in spoken.output
    printed = run(*words, "--data-dir", data, "--json")
    assert printed.exit_code == code
    error = json.loads(printed.stdout)["error"]
    assert named in error["message"]
    assert set(error) == {"code", "message", "way_out"}


def test_a_broken_settings_file_is_a_sentence(data: Path) -> None:
    """A typo in winnow.toml gives an error that names it, with exit code 2."""
    Path("winnow.toml").write_text("[rerank]\nspek = 'x'\n")
    result = run("ask", QUESTION, "--data-dir", data)
    assert result.exit_code == 2
    assert "rerank.spek" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("rerank", "q", "no such file.txt"),
        ("log", "list", "--since", "9999999999d"),
        ("log", "list", "--since", "yesterday"),
        ("log", "feedback", "x", "--passage", "one"),
        ("search", "bird", "--top-k-retrieve", "100000000000000000000000000"),
    ],
)
def test_bad_values_are_usage_errors_without_a_traceback(data: Path, words: tuple[str, ...]) -> None:
    """A bad value is a usage error with exit code 2 and no traceback."""
    result = run(*words) if words[0] == "rerank" else run(*words, "--data-dir", data)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("ask", "x", "--nosuch"), "--nosuch"),
        (("log", "list", "--limit", "0"), "--limit"),
        (("nosuch",), "nosuch"),
    ],
)
def test_what_was_typed_wrongly_is_json_under_json(words: tuple[str, ...], named: str) -> None:
    """Usage errors have the same JSON shape as any other error, with exit code 2."""
    result = run(*words, "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert named in error["message"]
    assert "--help" in error["way_out"]
    spoken = run(*words)
    assert (spoken.exit_code, spoken.stdout) == (2, "")
    assert named in spoken.stderr
