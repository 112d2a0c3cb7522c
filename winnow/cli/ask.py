"""`winnow ask` and `winnow search`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from storage.errors import BadInputError
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
from winnow.cli.terminal import note, out, print_json, reported, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.records import Outcome
    from winnow.app.choices import AskChoices
    from winnow.app.settings import Settings

Question = Annotated[str, typer.Argument(help="The question, in English or Chinese.", show_default=False)]
AnswererOption = Annotated[
    str | None,
    typer.Option(
        "--answerer",
        help="`extractive` quotes; `openai` asks the chat model of the section `llm`.",
        metavar="NAME",
    ),
]
FollowUp = Annotated[
    str | None,
    typer.Option(
        "--follow-up",
        "-f",
        help="The logged answer that this question follows: its id, or `last` (of this collection).",
        metavar="ID",
    ),
]
Stream = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Show the text while it comes; on a terminal with a chat model that is the default.",
    ),
]


def ask(
    question: Question,
    collection: Collection = None,
    rerank: Rerank = None,
    answerer: AnswererOption = None,
    where: Where = None,
    follow_up: FollowUp = None,
    stream: Stream = None,
    top_k_retrieve: TopKRetrieve = None,
    top_k_rerank: TopKRerank = None,
    min_score: MinScore = None,
    exact: Exact = False,
    expand: Expand = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question from a collection, with citations."""
    with reported(as_json):
        from winnow.pipeline import RAGPipeline

        chosen = settings(data_dir, collection, answer={"answerer": answerer})
        pieces = _in_pieces(chosen, stream, as_json)
        with RAGPipeline.from_settings(chosen) as pipeline:
            choices: AskChoices = {
                "rerank": rerank,
                "where": where,
                "follow_up": follow_up,
                "min_score": min_score,
                "exact": exact or None,
                "expand": expand,
            }
            if pieces:
                answer = shown(pipeline.stream(question, top_k_retrieve, top_k_rerank, **choices))
            else:
                answer = pipeline.ask(question, top_k_retrieve, top_k_rerank, **choices)
            unused = pipeline.wiring.unused_keys()
        if as_json:
            from winnow.app import jsonable

            print_json(jsonable.answer(answer))
            return
        from winnow.cli import rendering

        logged = chosen.logging
        shape = rendering.streamed_answer if pieces else rendering.answer
        out().print(shape(answer, logged=logged))
        _said(answer.stages, answer.warnings)
        if not logged:
            note("the log is off: this answer is not in it")
        if unused:
            note(f"{', '.join(unused)} is set, and nothing was sent there: nothing here asks for it")


def _in_pieces(chosen: Settings, stream: bool | None, as_json: bool) -> bool:
    """Whether the text is shown while it comes: if asked for, or where a person waits for a model."""
    if stream and as_json:
        raise BadInputError("--stream shows the text while it comes, --json prints one value at the end")
    if stream is None:
        return chosen.answer.answerer != "extractive" and sys.stdout.isatty() and not as_json
    return stream


def _said(stages: Sequence[Outcome], warnings: Sequence[str]) -> None:
    """What did not go as asked, and what stages that went well have to say."""
    for warning in warnings:
        warn(warning)
    for stage in stages:
        if stage.status == "ok" and stage.reason:
            note(f"{stage.name}: {stage.reason}")


def search(
    question: Question,
    collection: Collection = None,
    rerank: Rerank = None,
    where: Where = None,
    top_k_retrieve: TopKRetrieve = None,
    top_k_rerank: TopKRerank = None,
    min_score: MinScore = None,
    exact: Exact = False,
    expand: Expand = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Retrieve and rerank, without an answer."""
    with reported(as_json):
        from winnow.pipeline import RAGPipeline

        with RAGPipeline.from_settings(settings(data_dir, collection)) as pipeline:
            found = pipeline.search(
                question,
                top_k_retrieve,
                top_k_rerank,
                rerank=rerank,
                where=where,
                min_score=min_score,
                exact=exact or None,
                expand=expand,
            )
        if as_json:
            from winnow.app import jsonable

            print_json(jsonable.search_result(found))
            return
        from winnow.cli import rendering

        out().print(rendering.search_result(found))
        _said(found.stages, found.warnings)
