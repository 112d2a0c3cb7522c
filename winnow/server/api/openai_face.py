"""OpenAI's face: `/v1/chat/completions` and `/v1/models`. A chat client talks to a collection.

A model is `winnow/COLLECTION`, or `winnow/COLLECTION@SPEC` for another rerank chain. Of the messages the last
one of the user is the question, those before it are its history; system messages are ignored, since the
server decides how to answer.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from typing import Any

from fastapi import APIRouter, Request

from storage import records
from storage.errors import BadInputError, NotFoundError, WinnowError
from winnow.app.asked import Asked
from winnow.server.api import chat_shapes, inventory
from winnow.server.api.asking import to_json
from winnow.server.api.chat_shapes import ReplyFrame
from winnow.server.api.schemas_faces import ChatCompletion, ChatMessage, ChatRequest, ModelJson, Models
from winnow.server.documented import ASKING, READING, streaming
from winnow.server.served import Served, State, in_thread

router = APIRouter(tags=["OpenAI's face"])

PREFIX = "winnow/"
_STREAM = streaming('data: {"object": "chat.completion.chunk", "choices": []}\n\ndata: [DONE]\n\n')


@router.get("/v1/models", response_model=Models, responses=READING)
async def models(served: State) -> Any:
    """The collections as models, then each with every further spec that the server names."""
    return {"object": "list", "data": [_model(name) for name in await in_thread(lambda: _names(served))]}


@router.get("/v1/models/{model:path}", response_model=ModelJson, responses=READING)
async def model(model: str, served: State) -> Any:
    """One model, if its collection exists and its spec is allowed."""
    collection, spec = named(model)
    served.policy.check_rerank(spec)
    await in_thread(lambda: inventory.existing(served.pipeline.wiring, collection))
    return _model(model)


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses={200: _STREAM, **ASKING})
async def complete(wanted: ChatRequest, request: Request, served: State) -> Any:
    """Answer the last question of a conversation from a collection.

    The sources are below the text, and in annotations. `winnow`, next to the choices, has the answer's id in
    the log, its warnings, and whether there was an answer.
    """
    asked = _asked_by(wanted, served)
    reply = ReplyFrame(wanted.model, str(request.base_url))
    if wanted.stream:
        usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        return await served.stream(
            request,
            served.pipeline.astream(asked),
            lambda joined: _chunks(joined, reply, served, usage=usage),
            lambda error: _failed(error, served),
        )
    answer = await served.work(request, lambda: served.pipeline.aask(asked))
    served.metrics.answered(answer)
    return chat_shapes.completion(answer, reply)


def named(model: str) -> tuple[str | None, str | None]:
    """Split a model's name into collection and spec. Raises NotFoundError for another server's model."""
    if model == "winnow":
        return None, None
    if not model.startswith(PREFIX):
        raise NotFoundError(
            f"there is no model {model!r}", way_out="Models are winnow/COLLECTION[@SPEC]; see /v1/models."
        )
    collection, _, spec = model.removeprefix(PREFIX).partition("@")
    return collection or None, spec or None


def _names(served: Served) -> list[str]:
    collections = served.pipeline.wiring.stores.names()
    plain = [PREFIX + name for name in collections]
    return plain + [f"{name}@{spec}" for name in plain for spec in served.settings.specs]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "winnow"}


def _asked_by(wanted: ChatRequest, served: Served) -> Asked:
    from generation.followup import Turn

    collection, spec = named(wanted.model)
    served.policy.check_rerank(spec)
    talk = [message for message in wanted.messages if message.role in ("user", "assistant")]
    if not talk or talk[-1].role != "user":
        raise BadInputError("the last message is no question", way_out="End with a message of role user.")
    turns = [Turn(*pair) for pair in _pairs(talk[:-1])]
    return Asked(talk[-1].text, collection=collection, rerank=spec, history=turns[-20:] or None)


def _pairs(messages: Sequence[ChatMessage]) -> list[tuple[str, str]]:
    """Pair questions with the answers after them; other messages are ignored."""
    return [
        (before.text, chat_shapes.without_sources(after.text))
        for before, after in pairwise(messages)
        if (before.role, after.role) == ("user", "assistant")
    ]


async def _chunks(
    items: AsyncGenerator[str | records.Answer], reply: ReplyFrame, served: Served, *, usage: bool
) -> AsyncGenerator[str]:
    created = int(time.time())
    yield _data(chat_shapes.chunk(reply, created, {"role": "assistant", "content": ""}))
    async for item in items:
        if isinstance(item, str):
            yield _data(chat_shapes.chunk(reply, created, {"content": item}))
            continue
        served.metrics.answered(item)
        for last in chat_shapes.last_chunks(item, reply, created, usage=usage):
            yield _data(last)
    yield "data: [DONE]\n\n"


def _failed(error: WinnowError, served: Served) -> str:
    return _data({"error": served.problems.of(error)["error"]})


def _data(value: Any) -> str:
    return f"data: {to_json(value)}\n\n"
