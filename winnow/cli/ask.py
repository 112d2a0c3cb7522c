"""`winnow ask` and `winnow search`."""

from __future__ import annotations

from typing import Annotated

import typer

from winnow.cli.options import AsJson, Collection, DataDir, Rerank, TopKRerank, TopKRetrieve, Where, settings
from winnow.cli.terminal import note, out, print_json, reported, warn

Question = Annotated[str, typer.Argument(help="The question, in English or Chinese.", show_default=False)]
AnswererOption = Annotated[
    str | None,
    typer.Option(
        "--answerer", help="`extractive` quotes; `openai` asks the chat model of [llm].", metavar="NAME"
    ),
]


def ask(
    question: Question,
    collection: Collection = None,
    rerank: Rerank = None,
    answerer: AnswererOption = None,
    where: Where = None,
    top_k_retrieve: TopKRetrieve = None,
    top_k_rerank: TopKRerank = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question from a collection, with citations."""
    with reported(as_json):
        from winnow.pipeline import RAGPipeline

        chosen = settings(data_dir, collection, answer={"answerer": answerer})
        with RAGPipeline.from_settings(chosen) as pipeline:
            answer = pipeline.ask(question, top_k_retrieve, top_k_rerank, rerank=rerank, where=where)
            unused = pipeline.wiring.unused_keys()
        if as_json:
            from winnow import jsonable

            print_json(jsonable.answer(answer))
            return
        from winnow.cli import rendering

        out().print(rendering.answer(answer))
        for warning in answer.warnings:
            warn(warning)
        if unused:
            note(f"{', '.join(unused)} is set, and nothing was sent there: nothing here asks for it")


def search(
    question: Question,
    collection: Collection = None,
    rerank: Rerank = None,
    where: Where = None,
    top_k_retrieve: TopKRetrieve = None,
    top_k_rerank: TopKRerank = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Retrieve and rerank, without an answer."""
    with reported(as_json):
        from winnow.pipeline import RAGPipeline

        with RAGPipeline.from_settings(settings(data_dir, collection)) as pipeline:
            found = pipeline.search(question, top_k_retrieve, top_k_rerank, rerank=rerank, where=where)
        if as_json:
            from winnow import jsonable

            print_json(jsonable.search_result(found))
            return
        from winnow.cli import rendering

        out().print(rendering.search_result(found))
        for warning in found.warnings:
            warn(warning)
