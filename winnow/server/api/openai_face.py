"""OpenAI's face: `/v1/chat/completions` and `/v1/models`. A chat client talks to a collection.

A model is `winnow/COLLECTION`, or `winnow/COLLECTION@SPEC` for another rerank chain. Of the messages the last
one of the user is the question, those before it are its history; system messages are ignored, since the
server decides how to answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fastapi import APIRouter, Request

from generation.citations import places
from storage.errors import BadInputError, NotFoundError, WinnowError
from storage.reasons import Reason
from storage.records import Answer, Citation
from winnow.app.asked import Asked
from winnow.server.api.asking import to_json
from winnow.server.api.schemas_faces import ChatCompletion, ChatMessage, ChatRequest, ModelJson, Models
from winnow.server.documented import ASKING, READING, streaming
from winnow.server.pages.views.passages import address_of
from winnow.server.shared_state import Seen, Served, State, in_thread
from winnow.server.visible import Visible

router = APIRouter(tags=["OpenAI's face"])

PREFIX = "winnow/"
# The default collection, whatever its name.
OWN = "winnow"
# The heading between answer and sources; clients send it back with the next question.
_HEADS = {"en": "Sources:", "zh": "来源："}
_SOURCES = re.compile(r"\n\n(?:Sources:|来源：)\n\[\d.*\Z", re.DOTALL)
_HAN = re.compile(r"[\u3400-\u9fff]")
_STREAM = streaming('data: {"object": "chat.completion.chunk", "choices": []}\n\ndata: [DONE]\n\n')


@router.get("/v1/models", response_model=Models, responses=READING)
async def models(served: State, seen: Seen) -> Any:
    """The collections as models, then each with every further spec that the server names."""
    return {
        "object": "list",
        "data": [_model(name) for name in await in_thread(lambda: _names(served, seen))],
    }


@router.get("/v1/models/{model:path}", response_model=ModelJson, responses=READING)
async def model(model: str, served: State, seen: Seen) -> Any:
    """One model, if its collection exists and its spec is allowed."""
    collection, spec = named(model)
    served.policy.check_rerank(spec)
    await in_thread(lambda: seen.existing(collection))
    return _model(model)


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses={200: _STREAM, **ASKING})
async def complete(wanted: ChatRequest, request: Request, served: State, seen: Seen) -> Any:
    """Answer the last question of a conversation from a collection.

    The sources are below the text, and in annotations. `winnow`, next to the choices, has the answer's id in
    the log, its warnings, and whether there was an answer.
    """
    asked = _asked_by(wanted, served, seen)
    reply = ReplyFrame(wanted.model, str(request.base_url))
    if wanted.stream:
        usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        return await served.stream(
            request,
            seen.stream(asked),
            lambda joined: _chunks(joined, reply, served, usage=usage),
            lambda error: _failed(error, served),
        )
    answer = await served.work(request, lambda: seen.ask(asked))
    served.metrics.answered(answer)
    return completion(answer, reply)


def named(model: str) -> tuple[str | None, str | None]:
    """Split a model's name into collection and spec. Raises NotFoundError for another server's model."""
    if model == OWN:
        return None, None
    if not model.startswith(PREFIX):
        raise NotFoundError(
            f"there is no model {model!r}", way_out="Models are winnow/COLLECTION[@SPEC]; see /v1/models."
        )
    collection, _, spec = model.removeprefix(PREFIX).partition("@")
    return collection or None, spec or None


def _names(served: Served, seen: Visible) -> list[str]:
    plain = [PREFIX + name for name in seen.names()]
    default = [OWN] if seen.default in seen.names() else []
    return default + plain + [f"{name}@{spec}" for name in plain for spec in served.settings.specs]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "winnow"}


def _asked_by(wanted: ChatRequest, served: Served, seen: Visible) -> Asked:
    from generation.followup import Turn

    collection, spec = named(wanted.model)
    served.policy.check_rerank(spec)
    talk = [message for message in wanted.messages if message.role in ("user", "assistant")]
    if not talk or talk[-1].role != "user":
        raise BadInputError("the last message is no question", way_out="End with a message of role user.")
    turns = [Turn(*pair) for pair in _pairs(talk[:-1])]
    asked = Asked(talk[-1].text, collection=collection, rerank=spec, history=turns[-20:] or None)
    return seen.asked(asked, served.policy)


def _pairs(messages: Sequence[ChatMessage]) -> list[tuple[str, str]]:
    """Pair questions with the answers after them; other messages are ignored."""
    return [
        (before.text, without_sources(after.text))
        for before, after in pairwise(messages)
        if (before.role, after.role) == ("user", "assistant")
    ]


async def _chunks(
    items: AsyncGenerator[str | Answer], reply: ReplyFrame, served: Served, *, usage: bool
) -> AsyncGenerator[str]:
    created = int(time.time())
    yield _data(chunk(reply, created, {"role": "assistant", "content": ""}))
    async for item in items:
        if isinstance(item, str):
            yield _data(chunk(reply, created, {"content": item}))
            continue
        served.metrics.answered(item)
        for last in last_chunks(item, reply, created, usage=usage):
            yield _data(last)
    yield "data: [DONE]\n\n"


def _failed(error: WinnowError, served: Served) -> str:
    return _data({"error": served.problems.of(error)["error"]})


def _data(value: Any) -> str:
    return f"data: {to_json(value)}\n\n"


@dataclass(frozen=True, slots=True)
class ReplyFrame:
    """The parts that every chunk of a reply repeats: the requested model and this server's URL."""

    model: str
    base_url: str


def completion(answer: Answer, reply: ReplyFrame) -> dict[str, Any]:
    """Make the reply for a whole answer."""
    content = answer.text + sources(answer)
    message = {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "annotations": cited(answer, content, reply),
    }
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": "chat.completion",
        "created": int(answer.created_at.timestamp()),
        "model": reply.model,
        "choices": [{"index": 0, "message": message, "finish_reason": _end(answer), "logprobs": None}],
        "usage": _usage(answer),
        "winnow": _extension(answer),
    }


def chunk(reply: ReplyFrame, created: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make a chunk of a streamed answer."""
    return {
        # the answer's own id is known only at its end
        "id": "chatcmpl-winnow",
        "object": "chat.completion.chunk",
        "created": created,
        "model": reply.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}],
        **more,
    }


def last_chunks(answer: Answer, reply: ReplyFrame, created: int, *, usage: bool) -> list[dict[str, Any]]:
    """Make the chunks after the text: sources with annotations, the end, the usage."""
    below = sources(answer)
    delta = {"content": below, "annotations": cited(answer, answer.text + below, reply)}
    end = chunk(reply, created, {}, winnow=_extension(answer))
    end["choices"][0]["finish_reason"] = _end(answer)
    spent = [{**chunk(reply, created, {}), "choices": [], "usage": _usage(answer)}] if usage else []
    return [chunk(reply, created, delta), end, *spent]


def _end(answer: Answer) -> str:
    """Return OpenAI's word for the end of an answer: that of one which met its limit tells clients so."""
    told = {part.code for stage in answer.stages for part in Reason.of(stage.reason).parts}
    return "length" if "generation.answer-cut-off" in told else "stop"


def sources(answer: Answer) -> str:
    """Return the places that the text cites, a line each; empty if it cites none."""
    lines = {citation.marker: _line(citation) for citation in answer.citations}
    if not lines:
        return ""
    head = _HEADS["zh" if _HAN.search(answer.question) else "en"]
    return "\n\n" + "\n".join([head, *(lines[marker] for marker in sorted(lines))])


def without_sources(text: str) -> str:
    """Return the text of an answer that a client sent back with its sources."""
    return _SOURCES.sub("", text)


def cited(answer: Answer, content: str, reply: ReplyFrame) -> list[dict[str, Any]]:
    """Make a `url_citation` of each citation: the place of its marker and the URL of its passage."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": start,
                "end_index": end,
                "title": _title(citation),
                "url": _url(citation, answer.collection, reply.base_url),
            },
        }
        for citation in answer.citations
        for start, end in _places(content, citation.marker, answer)
    ]


def _places(content: str, marker: int, answer: Answer) -> Sequence[tuple[int, int]]:
    """Find a marker in the answer's own text, or in the sources if it is part of a group there."""
    found = [
        (start, end) for start, end, numbers in places(answer.text, answer.citations) if numbers == (marker,)
    ]
    return found[:1] or [match.span() for match in re.finditer(rf"\[{marker}\]", content)][-1:]


def _line(citation: Citation) -> str:
    return f"[{citation.marker}] {_title(citation)}"


def _title(citation: Citation) -> str:
    name = citation.title or citation.source.rpartition("/")[2]
    place = citation.location
    shown = f"{name} ({place})" if place and place != name else name
    return " ".join(shown.split())  # a document's title may contain anything, even line breaks


def _url(citation: Citation, collection: str, base: str) -> str:
    """Return the address of the passage on its document's page, which people read."""
    span = (citation.start, citation.end) if citation.quote else None
    return base.rstrip("/") + address_of(collection, citation, span)


def _usage(answer: Answer) -> dict[str, int]:
    spent = answer.usage
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
    }


def _extension(answer: Answer) -> dict[str, Any]:
    return {"answer_id": answer.id, "answered": answer.answered, "warnings": list(answer.warnings)}
