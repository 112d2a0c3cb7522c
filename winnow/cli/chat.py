"""`winnow chat`: questions that may lean on the ones before."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from storage.errors import WinnowError
from winnow.cli.ask import AnswererOption
from winnow.cli.options import (
    AsJson,
    Collection,
    DataDir,
    Exact,
    Expand,
    MinScore,
    Rerank,
    TopKRerank,
    TopKRetrieve,
    Where,
    settings,
)
from winnow.cli.streaming import shown
from winnow.cli.terminal import EXIT_FAILURE, note, out, print_json, report, reported, warn

if TYPE_CHECKING:
    from storage.records import Answer
    from winnow.app.choices import AskChoices
    from winnow.pipeline import RAGPipeline

# As many earlier answers as a rewrite looks at.
_KEPT = 4
_HELP = "/new forgets what was said, /quit (or Ctrl-D) leaves."

FollowUp = Annotated[
    str | None,
    typer.Option(
        "--follow-up",
        "-f",
        help="Go on from a logged answer: its id, or `last` (of this collection).",
        metavar="ID",
    ),
]


def chat(
    collection: Collection = None,
    rerank: Rerank = None,
    answerer: AnswererOption = None,
    where: Where = None,
    follow_up: FollowUp = None,
    top_k_retrieve: TopKRetrieve = None,
    top_k_rerank: TopKRerank = None,
    min_score: MinScore = None,
    exact: Exact = False,
    expand: Expand = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask one question after the other; each may lean on those before. Piped in: one question a line."""
    with reported(as_json):
        from winnow.pipeline import RAGPipeline

        retrieval, keep = {"top_k": top_k_retrieve}, {"top_k": top_k_rerank}
        answer = {"answerer": answerer}
        chosen = settings(data_dir, collection, answer=answer, retrieval=retrieval, rerank=keep)
        with RAGPipeline.from_settings(chosen) as pipeline:
            pipeline.wiring.collection()  # a mistyped name is said before the first question
            choices: AskChoices = {
                "rerank": rerank,
                "where": where,
                "min_score": min_score,
                "exact": exact or None,
                "expand": expand,
            }
            talk = _Talk(pipeline, choices, as_json)
            if follow_up:
                talk.begin(follow_up)
            for line in _lines():
                talk.say(line)
        if talk.failed and not sys.stdin.isatty():
            raise typer.Exit(EXIT_FAILURE)


class _Talk:
    """A conversation. `failed` says whether some question got no answer."""

    def __init__(self, pipeline: RAGPipeline, choices: AskChoices, as_json: bool) -> None:
        self.failed = False
        self._pipeline = pipeline
        self._choices = choices
        self._as_json = as_json
        self._history: list[Answer] = []
        self._warned: set[str] = set()

    def begin(self, answer_id: str) -> None:
        """Go on where a logged answer ended."""
        from winnow.app.conversation import logged

        asked = self._choices.get("collection") or self._pipeline.settings.collection
        self._history = logged(answer_id, self._pipeline.log, asked)

    def say(self, line: str) -> None:
        """A command, or a question, which is answered; Ctrl-C stops the answer alone."""
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
        choices: AskChoices = {**self._choices, "history": self._history}
        if self._as_json:
            from winnow.app import jsonable

            answer = self._pipeline.ask(question, **choices)
            print_json(jsonable.answer(answer))
        else:
            from winnow.cli import rendering

            answer = shown(self._pipeline.stream(question, **choices))
            out().print(rendering.sources(answer, logged=self._pipeline.settings.logging))
            for warning in answer.warnings:
                if warning not in self._warned:  # the same for every question, as a rule
                    warn(warning)
            self._warned.update(answer.warnings)
        self._history = [*self._history, answer][-_KEPT:]


def _lines() -> Iterator[str]:
    """What is typed, or piped in, line by line, until it ends or says /quit; empty lines are passed over."""
    asked = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if asked:
        with suppress(ImportError):
            import readline  # noqa: F401 - gives `input` a line editor
        note(_HELP)
    while True:
        try:
            line = input("> " if asked else "").strip()
        except EOFError:
            return
        if line == "/quit":
            return
        if line:
            yield line
