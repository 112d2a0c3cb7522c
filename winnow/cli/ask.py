"""`winnow ask` and `winnow search`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from storage.errors import BadInputError
from storage.reasons import Reason
from storage.records import WEAK_MATCH, WEAK_PARTS, Answer, Outcome
from winnow.cli.options import AskOptions, SearchOptions
from winnow.cli.stdin import question_of
from winnow.cli.terminal import note, out, plain, print_json, warn

if TYPE_CHECKING:
    from winnow.app.settings import Settings

Question = Annotated[
    str,
    Argument(help="The question, in English or Chinese; - reads it from standard input.", show_default=False),
]
Stream = Annotated[
    bool | None,
    Option(
        "--stream/--no-stream",
        help="Show the text as it comes; the default for a chat model on a terminal.",
    ),
]


def ask(question: Question, options: AskOptions, stream: Stream = None) -> None:
    """Answer a question from a collection, with citations."""
    from winnow.pipeline import RAGPipeline

    question = question_of(question)
    chosen = options.settings()
    pieces = _in_pieces(chosen, stream, options.as_json)
    with RAGPipeline.from_settings(chosen) as pipeline:
        asked = options.asked(question)
        try:
            answer = print_stream(pipeline.stream(asked)) if pieces else pipeline.ask(asked)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("an answer that was cut short is not logged") from None
        unused = pipeline.wiring.unused_keys()
    if options.as_json:
        from winnow.app.json_model.answers import AnswerJson

        print_json(AnswerJson.of(answer))
        return
    from winnow.cli import rendering

    logged = chosen.logging
    out().print(rendering.answer(answer, logged=logged, streamed=pieces))
    _print_remarks(answer.stages, answer.warnings)
    if not logged:
        note("the log is off: this answer is not in it")
    if unused:
        note(f"{', '.join(unused)} is set, and nothing was sent there: nothing here asks for it")


def print_stream(items: Iterable[str | Answer]) -> Answer:
    """Print the pieces of an answer as they come, and return the whole.

    The pieces are a model's: none of their control characters reaches the terminal. A text that breaks off
    ends its line, so that remarks about it start on a new one.
    """
    written = False
    try:
        for item in items:
            if isinstance(item, Answer):
                return item
            sys.stdout.write(plain(item))
            sys.stdout.flush()
            written = True
    finally:
        if written:
            sys.stdout.write("\n")
            sys.stdout.flush()
    raise AssertionError("a stream ends with its Answer")


def _in_pieces(chosen: Settings, stream: bool | None, as_json: bool) -> bool:
    """Decide whether to show the text as it comes: on request, or where a person waits for a model."""
    if stream and as_json:
        raise BadInputError("--stream shows the text while it comes, --json prints one value at the end")
    if stream is None:
        return chosen.answer.answerer != "extractive" and sys.stdout.isatty() and not as_json
    return stream


def _print_remarks(stages: Sequence[Outcome], warnings: Sequence[str]) -> None:
    """Print what did not go as asked, and the remarks of stages that went well."""
    warn(*filter(None, map(not_said_above, warnings)))
    for stage in stages:
        if stage.status == "ok" and stage.reason:
            note(f"{stage.name}: {stage.reason}")


def not_said_above(warning: str) -> str:
    """The warning without a weak match, which is above the answer; empty where nothing is left."""
    told = Reason.of(warning)
    reason = told.values.get("reason")
    if not isinstance(reason, Reason):
        return warning
    left = [part for part in reason.parts if part.code not in (WEAK_MATCH, WEAK_PARTS)]
    return Reason(told.code, {**told.values, "reason": Reason.all(left)}) if left else ""


def search(question: Question, options: SearchOptions) -> None:
    """Retrieve and rerank, without an answer."""
    question = question_of(question)
    with options.pipeline() as pipeline:
        result = pipeline.search(options.asked(question))
    if options.as_json:
        from winnow.app.json_model.answers import SearchJson

        print_json(SearchJson.of(result))
        return
    from winnow.cli import rendering

    out().print(rendering.search_result(result))
    _print_remarks(result.stages, result.warnings)
