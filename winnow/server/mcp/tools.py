"""The tools: one a wish. Those that ask go through the same pipeline, log and limits as every other door."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import anyio
import anyio.from_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ToolAnnotations
from pydantic import Field

from ingest.report import Progress
from rerank.texts import RankedTexts, rerank_texts
from storage.errors import BadInputError
from storage.manifest.manifest import DocumentFilter
from storage.qdrant.contract import checked_name
from winnow.app import portal
from winnow.app.asked import Asked
from winnow.app.json_model.answers import RankedTextsJson
from winnow.app.setting_defaults import Answerer, PartsName
from winnow.server.api import inventory
from winnow.server.api.schemas import SpecText, Text
from winnow.server.mcp.desk import Desk
from winnow.server.mcp.replies import (
    CitedAnswer,
    CollectionBrief,
    CollectionsFound,
    DocumentBrief,
    DocumentsFound,
    FoundPassages,
    Ingested,
    LoggedAnswer,
)

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_CHANGES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

Question = Annotated[Text, Field(description="A question in words, English or Chinese.")]
InCollection = Annotated[
    str | None, Field(max_length=100, description="A collection's name; left out: the default one.")
]
Spec = Annotated[
    SpecText | None, Field(description="How to rerank, as in `late-interaction`; left out: as configured.")
]
Where = Annotated[
    str | None,
    Field(max_length=4_000, description="A filter on metadata: lang = 'zh' and year >= 2020."),
]
Keep = Annotated[int | None, Field(ge=1, le=100, description="How many passages to keep (5).")]
Expand = Annotated[
    int | None, Field(ge=0, le=10, description="Join this many passages before and after each kept one.")
]
MinScore = Annotated[float | None, Field(ge=-1, le=1, description="The cosine that candidates must reach.")]
PartsGiven = Annotated[
    PartsName | None,
    Field(description="How a question that asks several is divided; left out: as configured."),
]


def add_tools(server: MCPServer, desk: Desk) -> None:
    """Give the server the tools that read."""
    served = desk.served
    pipeline, wiring = served.pipeline, served.pipeline.wiring

    @server.tool(annotations=_READS)
    async def search(
        context: Context,
        question: Question,
        collection: InCollection = None,
        where: Where = None,
        rerank: Spec = None,
        top_k: Keep = None,
        min_score: MinScore = None,
        expand: Expand = None,
        parts: PartsGiven = None,
    ) -> FoundPassages:
        """Find the passages that say most about a question, with their places; `ask` answers instead."""
        with desk.tool_errors():
            served.policy.check_rerank(rerank)
            served.policy.check_parts(parts)
            seen = desk.seen(context)
            wanted = Asked(
                question,
                top_k_rerank=top_k,
                rerank=rerank,
                collection=collection,
                where=where,
                min_score=min_score,
                expand=expand,
                parts=parts,
            )
            asked = await desk.blocking(lambda: seen.asked(wanted, served.policy))
            result = await desk.work(lambda: seen.search(asked))
            served.metrics.staged(result.stages)
            return FoundPassages.found_by(result)

    @server.tool(annotations=_READS)
    async def ask(
        context: Context,
        question: Question,
        collection: InCollection = None,
        where: Where = None,
        rerank: Spec = None,
        top_k: Keep = None,
        min_score: MinScore = None,
        expand: Expand = None,
        parts: PartsGiven = None,
        answerer: Annotated[
            Answerer | None,
            Field(description="`extractive` quotes the passages; left out: as configured."),
        ] = None,
        follow_up: Annotated[
            str | None,
            Field(max_length=64, description="The id of the answer that this question follows, or `last`."),
        ] = None,
    ) -> CitedAnswer:
        """Answer a question from the documents, with citations. The answer is logged under its `id`."""
        with desk.tool_errors():
            served.policy.check_rerank(rerank)
            served.policy.check_parts(parts)
            served.policy.check_answerer(answerer)
            seen = desk.seen(context)
            wanted = Asked(
                question,
                top_k_rerank=top_k,
                rerank=rerank,
                collection=collection,
                where=where,
                min_score=min_score,
                expand=expand,
                parts=parts,
                answerer=answerer,
                follow_up=follow_up,
            )
            asked = await desk.blocking(lambda: seen.asked(wanted, served.policy))
            answer = await desk.work(lambda: seen.ask(asked))
            served.metrics.answered(answer)
            return CitedAnswer.of(answer)

    @server.tool(annotations=_READS)
    async def rerank(
        context: Context,
        question: Question,
        texts: Annotated[list[Text], Field(min_length=1, max_length=1_000, description="The texts.")],
        rerank: Spec = None,
        top_k: Annotated[int | None, Field(ge=1, le=1_000, description="How many to keep (all).")] = None,
    ) -> RankedTextsJson:
        """Order texts of your own by a question, best first; `index` is the place (from 0) in `texts`."""

        async def ranked() -> RankedTexts:
            scores_of = desk.seen(context).rights.reader.scores_of
            parts = await anyio.to_thread.run_sync(
                lambda: wiring.rerank_parts(None, wiring.encoder, scores_of=scores_of)
            )
            spec = rerank or pipeline.settings.rerank.spec
            return await portal.acall(lambda: rerank_texts(question, texts, spec, parts, top_k=top_k))

        with desk.tool_errors():
            served.policy.check_rerank(rerank)
            found = await desk.work(ranked)
            served.metrics.staged(found.outcomes)
            return RankedTextsJson.of(found)

    @server.tool(annotations=_READS)
    async def show_answer(
        context: Context,
        answer_id: Annotated[
            str, Field(min_length=1, max_length=64, description="An answer's id, or its start.")
        ],
    ) -> LoggedAnswer:
        """Show a logged answer: its text and citations, how each stage went, where it ranked each passage."""
        seen = desk.seen(context)
        with desk.tool_errors():
            return LoggedAnswer.logged(await desk.blocking(lambda: seen.log.get(answer_id)))

    @server.tool(annotations=_READS)
    async def list_collections(context: Context) -> CollectionsFound:
        """List the collections of documents, and how many documents each holds."""

        def read() -> list[CollectionBrief]:
            return [
                CollectionBrief(
                    name=one["name"],
                    default=one["default"],
                    documents=dict(seen.counts(one["name"]).by_status),
                    note=one["note"],
                )
                for one in inventory.collections(seen)
            ]

        seen = desk.seen(context)
        with desk.tool_errors():
            return CollectionsFound(collections=await desk.blocking(read))

    @server.tool(annotations=_READS)
    async def list_documents(
        context: Context,
        collection: InCollection = None,
        text: Annotated[str, Field(max_length=1_000, description="Words in path or title.")] = "",
        status: Literal["ingested", "refused", "duplicate"] | None = None,
        offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, Field(ge=1, le=200)] = 50,
    ) -> DocumentsFound:
        """List the documents of a collection by path, the refused ones with the reason."""

        def read() -> DocumentsFound:
            name, where = seen.existing(collection), DocumentFilter(text, status)
            total, rows = seen.documents(name, where, offset=offset, limit=limit)
            return DocumentsFound(
                collection=name,
                total=total,
                offset=offset,
                documents=[DocumentBrief.of_row(name, row) for row in rows],
            )

        seen = desk.seen(context)
        with desk.tool_errors():
            return await desk.blocking(read)

    if pipeline.settings.mcp.ingest:
        _add_ingest(server, desk)


def _add_ingest(server: MCPServer, desk: Desk) -> None:
    """Give the server the tool that changes collections, within the folders that the settings allow."""
    served = desk.served
    folders = [folder.absolute() for folder in served.pipeline.settings.mcp.ingest]

    @server.tool(
        annotations=_CHANGES,  # every agent may read the description, so it names no folder
        description="Bring files and folders into a collection; what did not change costs nothing. "
        "Allowed are folders that whoever runs winnow chose; a relative path is below the first. "
        "The refusal of another path names them.",
    )
    async def ingest(
        context: Context,
        paths: Annotated[list[str], Field(min_length=1, max_length=100, description="Files or folders.")],
        collection: InCollection = None,
    ) -> Ingested:
        name = collection or served.pipeline.settings.collection

        def run() -> Ingested:
            with served.jobs.alone(served.settings.timeout_s):
                report = served.pipeline.ingest(
                    [_allowed(path, folders) for path in paths], collection=checked_name(name), progress=tell
                )
            return Ingested.by(name, report)

        def tell(progress: Progress) -> None:
            anyio.from_thread.check_cancelled()  # what was finished is kept, as after Ctrl-C
            document = Path(progress.path).name
            anyio.from_thread.run(
                context.report_progress, progress.documents, progress.documents_total, document
            )

        with desk.tool_errors():
            desk.check_may_change(context)
            return await desk.blocking(run)


def _allowed(path: str, folders: list[Path]) -> Path:
    """Return the path as it really is, links followed. Raises BadInputError outside the folders."""
    real = Path(path).expanduser()
    real = (real if real.is_absolute() else folders[0] / real).resolve()
    if not any(real.is_relative_to(folder.resolve()) for folder in folders):
        raise BadInputError(
            f"{path} may not be ingested from here",
            way_out=f"Allowed is what lies below {', '.join(map(str, folders))}.",
        )
    return real
