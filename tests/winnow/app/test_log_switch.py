"""`winnow log off` and `on`: nothing is logged in between, and older answers can be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from storage.records import Candidate
from winnow import RAGPipeline
from winnow.app.settings import Settings
from winnow.cli.app import app


class Parts:
    """A user's own retriever, reranker and answerer."""

    def search(self, query: str, top_k: int) -> Sequence[str]:
        return ["one passage", "另一段"]

    def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Sequence[Candidate]:
        return candidates

    def generate(self, question: str, candidates: Sequence[Candidate]) -> str:
        return "an answer [1]"


@pytest.fixture
def pipeline(tmp_path: Path) -> RAGPipeline:
    return RAGPipeline(Parts(), Parts(), Parts(), settings=Settings.load(data_dir=tmp_path / "data"))


def run(*words: object) -> object:
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_no_answer_is_logged_while_the_log_is_off(pipeline: RAGPipeline, tmp_path: Path) -> None:
    """Switching the log off and on reaches a running pipeline, and older answers can still be read."""
    with pipeline:
        first = pipeline.ask("why?")
        assert run("log", "off", "--data-dir", tmp_path / "data") == {"logging": False}
        pipeline.ask("a secret?")
        assert [row.id for row in pipeline.log.list()] == [first.id]
        assert run("log", "on", "--data-dir", tmp_path / "data") == {"logging": True}
        third = pipeline.ask("again?")
        assert [row.id for row in pipeline.log.list()] == [third.id, first.id]


def test_switching_twice_is_no_error(pipeline: RAGPipeline) -> None:
    """Switching off twice, or on twice, is no error."""
    with pipeline:
        pipeline.log.off()
        pipeline.log.off()
        assert not pipeline.settings.logging
        pipeline.log.on()
        pipeline.log.on()
        assert pipeline.settings.logging


def test_every_command_of_the_shell_has_its_method(pipeline: RAGPipeline) -> None:
    """Every command of the shell has a method in Python."""
    from winnow.cli.log.commands import app as log_app

    commands = {command.name or command.callback.__name__ for command in log_app.registered_commands}  # type: ignore[union-attr]
    as_methods = {name.replace("show", "get") for name in commands}
    with pipeline:
        assert not [name for name in as_methods if not callable(getattr(pipeline.log, name, None))]
