"""`/v1/ask` and `/v1/search`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request

from storage.errors import WinnowError
from storage.records import Answer
from winnow.app.asked import Asked
from winnow.app.json_model.answers import AnswerJson, SearchJson
from winnow.server.api.schemas import AskRequest, SearchRequest
from winnow.server.disconnects import event
from winnow.server.documented import ASKING, streaming
from winnow.server.shared_state import Seen, Served, State, in_thread
from winnow.server.visible import Visible

router = APIRouter(tags=["questions"])

_STREAM = streaming(
    'event: piece\ndata: {"text": "A reranker "}\n\n'
    'event: answer\ndata: {"id": "5d0c2b7e91f3a846", "text": "A reranker …"}\n\n'
)


@router.post("/v1/ask", response_model=AnswerJson, responses={200: _STREAM, **ASKING})
async def ask(wanted: AskRequest, request: Request, served: State, seen: Seen) -> Any:
    """Answer a question from a collection, with citations; logged.

    With `stream` the reply is server-sent events: `piece` (text while it comes), then `answer` (as without
    `stream`), or `error` (a problem). Closing the connection cancels the work.
    """
    asked = await in_thread(lambda: asked_by(wanted, served, seen))
    if wanted.stream:
        return await served.stream(
            request,
            seen.stream(asked),
            lambda joined: _events(joined, served),
            lambda error: failed(error, served),
        )
    answer = await served.work(request, lambda: seen.ask(asked))
    served.metrics.answered(answer)
    return AnswerJson.of(answer)


@router.post("/v1/search", response_model=SearchJson, responses=ASKING)
async def search(wanted: SearchRequest, request: Request, served: State, seen: Seen) -> Any:
    """Retrieve and rerank, without an answer and without a log entry."""
    asked = await in_thread(lambda: asked_by(wanted, served, seen))
    result = await served.work(request, lambda: seen.search(asked))
    served.metrics.staged(result.stages)
    return SearchJson.of(result)


def asked_by(wanted: SearchRequest | AskRequest, served: Served, seen: Visible) -> Asked:
    """The question of a request, held to what its client may see. Blocking.

    Raises NotAllowedError, SpecError, and NotFoundError for what a follow-up follows.
    """
    from generation.followup import Turn

    wishes = wanted.model_dump(exclude={"stream", "history"})
    served.policy.check_rerank(wanted.rerank)
    served.policy.check_parts(wanted.parts)
    if isinstance(wanted, AskRequest):
        served.policy.check_answerer(wanted.answerer)
        wishes["history"] = [Turn(turn.question, turn.answer) for turn in wanted.history or []] or None
    return seen.asked(Asked(**{**wishes, "collection": wanted.collection or None}), served.policy)


async def _events(items: AsyncGenerator[str | Answer], served: Served) -> AsyncGenerator[str]:
    async for item in items:
        if isinstance(item, str):
            yield event("piece", to_json({"text": item}))
        else:
            served.metrics.answered(item)
            yield event("answer", AnswerJson.of(item).model_dump_json())


def failed(error: WinnowError, served: Served) -> str:
    """Make the last event of a stream that broke."""
    return event("error", to_json(served.problems.of(error)))


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
