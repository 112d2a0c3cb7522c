"""No text of a document or of a help steers the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.shell import run
from winnow.cli.app import app
from winnow.cli.terminal import plain

pytestmark = pytest.mark.heavy


def test_a_document_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Escape sequences, markup and direction marks in a document are printed as harmless text."""
    hostile = "Reranking \x1b]0;owned\x07\x1b[31mred\x1b[0m [bold]markup[/bold] \u202eesrever is a title."
    (tmp_path / "hostile.txt").write_text(hostile)
    run("ingest", tmp_path / "hostile.txt", "--data-dir", tmp_path / "d")
    result = run("ask", "What is reranking?", "--data-dir", tmp_path / "d")
    assert "\x1b" not in result.output
    assert "\x07" not in result.output
    assert "\u202e" not in result.output
    assert "[bold]markup[/bold]" in " ".join(result.stdout.split())


def test_plain_keeps_what_people_read() -> None:
    """`plain` keeps Chinese, wide spaces, emoji and line breaks, and removes control characters."""
    assert plain("中文　全角 é 🙂\n\t") == "中文　全角 é 🙂\n\t"
    assert plain("\x1b[0m\x9b\u200b\ud800") == "�[0m��"


def test_no_help_holds_markup() -> None:
    """Help texts hold no square brackets: Rich would read them as markup and drop them."""
    from typer.main import get_command

    waiting: list[Any] = [get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        said = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
        assert not [text for text in said if "[" in text], command.name
