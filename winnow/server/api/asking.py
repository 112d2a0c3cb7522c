"""`/v1/ask` and `/v1/search`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request

from storage import records
from storage.errors import WinnowError
from winnow.app import jsonable
from winnow.app.choices import AskChoices, SearchChoices
from winnow.server.api.schemas import Answer, AskRequest, Chosen, SearchRequest, SearchResult
from winnow.server.documented import ASKING, streaming
from winnow.server.served import Served, State
from winnow.server.work import event

router = APIRouter(tags=["questions"])

_STREAM = streaming(
    'event: piece\ndata: {"text": "A reranker "}\n\n'
    'event: answer\ndata: {"id": "5d0c2b7e91f3a846", "answer": "A reranker …"}\n\n'
)


@router.post("/v1/ask", response_model=Answer, responses={200: _STREAM, **ASKING})
async def ask(asked: AskRequest, request: Request, served: State) -> Any:
    """Answer a question from a collection, with citations; logged.

    With `stream` the reply is server-sent events: `piece` (text while it comes), then `answer` (as without
    `stream`), or `error` (a problem). Closing the connection cancels the work.
    """
    choices, pipeline = ask_choices(asked, served), served.pipeline
    limits = asked.top_k_retrieve, asked.top_k_rerank
    if asked.stream:
        items = pipeline.astream(asked.question, *limits, **choices)
        return await served.stream(
            request, items, lambda joined: _events(joined, served), lambda error: failed(error, served)
        )
    answer = await served.work(request, lambda: pipeline.aask(asked.question, *limits, **choices))
    served.metrics.answered(answer)
    return jsonable.answer(answer)


@router.post("/v1/search", response_model=SearchResult, responses=ASKING)
async def search(asked: SearchRequest, request: Request, served: State) -> Any:
    """Retrieve and rerank, without an answer and without a log entry."""
    choices = _search_choices(asked, served)
    limits = asked.top_k_retrieve, asked.top_k_rerank
    found = await served.work(request, lambda: served.pipeline.asearch(asked.question, *limits, **choices))
    served.metrics.staged(found.stages)
    return jsonable.search_result(found)


def ask_choices(asked: AskRequest, served: Served) -> AskChoices:
    """What the request chooses. Raises NotAllowedError, SpecError."""
    from generation.followup import Turn

    served.policy.check_answerer(asked.answerer)
    turns = [Turn(turn.question, turn.answer) for turn in asked.history or []]
    return {
        **_search_choices(asked, served),
        "answerer": asked.answerer,
        "follow_up": asked.follow_up,
        "history": turns or None,
    }


def _search_choices(asked: Chosen, served: Served) -> SearchChoices:
    served.policy.check_rerank(asked.rerank)
    return {
        "rerank": asked.rerank,
        "collection": asked.collection or None,
        "where": asked.where,
        "min_score": asked.min_score,
        "exact": asked.exact,
        "expand": asked.expand,
    }


async def _events(items: AsyncGenerator[str | records.Answer], served: Served) -> AsyncGenerator[str]:
    async for item in items:
        if isinstance(item, str):
            yield event("piece", to_json({"text": item}))
        else:
            served.metrics.answered(item)
            yield event("answer", to_json(jsonable.answer(item)))


def failed(error: WinnowError, served: Served) -> str:
    """The last event of a stream that broke."""
    return event("error", to_json(served.problems.of(error)))


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
