"""`winnow chat`: questions that may lean on the ones before."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from storage.errors import WinnowError
from winnow.cli.ask import print_stream
from winnow.cli.options import AskOptions
from winnow.cli.terminal import EXIT_FAILURE, note, out, print_json, report, warn

if TYPE_CHECKING:
    from storage.records import Answer
    from winnow.pipeline import RAGPipeline

# As many earlier answers as a rewrite looks at.
_KEPT = 4
_HELP = "/new forgets what was said, /quit (or Ctrl-D) leaves."


def chat(options: AskOptions) -> None:
    """Ask one question after the other; each may lean on those before. Piped in: one question a line."""
    with options.pipeline() as pipeline:
        pipeline.wiring.collection()  # reports a mistyped name before the first question
        talk = _Talk(pipeline, options)
        for line in _lines():
            talk.say(line)
    if talk.failed and not sys.stdin.isatty():
        raise typer.Exit(EXIT_FAILURE)


class _Talk:
    """A conversation. `failed` is set once some question got no answer."""

    def __init__(self, pipeline: RAGPipeline, options: AskOptions) -> None:
        from winnow.app.conversation import logged

        self.failed = False
        self._pipeline = pipeline
        self._asked = replace(options.asked(""), follow_up=None)
        self._as_json = options.as_json
        self._history: list[Answer] = []
        self._warned: set[str] = set()
        if options.follow_up:
            self._history = logged(options.follow_up, pipeline.log, pipeline.settings.collection)

    def say(self, line: str) -> None:
        """Obey a command, or answer a question; Ctrl-C stops only the answer."""
        if line == "/new":
            self._history.clear()
        elif line.startswith("/") and line[1:].isalpha():
            note(_HELP)
        else:
            try:
                self._ask(line)
            except KeyboardInterrupt:
                note("stopped; an answer that was cut short is not logged")
            except WinnowError as error:
                self.failed = True
                report(error, self._as_json)

    def _ask(self, question: str) -> None:
        asked = replace(self._asked, question=question, history=self._history)
        if self._as_json:
            from winnow.app.json_model.answers import AnswerJson

            answer = self._pipeline.ask(asked)
            print_json(AnswerJson.of(answer))
        else:
            from winnow.cli import rendering

            answer = print_stream(self._pipeline.stream(asked))
            out().print(rendering.sources(answer, logged=self._pipeline.settings.logging))
            for warning in answer.warnings:
                if warning not in self._warned:  # usually the same for every question
                    warn(warning)
            self._warned.update(answer.warnings)
        self._history = [*self._history, answer][-_KEPT:]


def _lines() -> Iterator[str]:
    """Yield the lines that are typed or piped in, until the end or /quit; empty lines are skipped."""
    interactive = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if interactive:
        with suppress(ImportError):
            import readline  # noqa: F401 - gives `input` a line editor
        note(_HELP)
    while True:
        try:
            line = input("> " if interactive else "").strip()
        except EOFError:
            return
        if line == "/quit":
            return
        if line:
            yield line
