"""One question to the chat client, at an endpoint of the tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from generation.chat.answerer import ChatAnswerer
from generation.chat.client import OpenAIChat
from storage.chat import Completion, Message
from storage.records import Candidate, Generation
from tests.support.endpoint import Endpoint, events

QUESTION = [Message("system", "Be brief."), Message("user", "重排序是什么？")]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
CHUNKS = events(["High ", "tide"], done=False)


def running(endpoint: Endpoint, action: Callable[[OpenAIChat], Awaitable[Any]], **options: Any) -> Any:
    """Return the result of `action` for a chat model at the endpoint."""

    async def acting() -> Any:
        chat = OpenAIChat.load(**{"model": "m", "base_url": endpoint.url, "max_retries": 0, **options})
        try:
            return await action(chat)
        finally:
            await chat.aclose()

    return anyio.run(acting)


def asked(endpoint: Endpoint, *, times: int = 1, max_tokens: int = 64, **options: Any) -> Completion:
    """Return the reply to the question (to the last, where it is asked several times)."""
    wishes = {key: options.pop(key) for key in ("schema", "top_logprobs") if key in options}

    async def action(chat: OpenAIChat) -> Completion:
        replies = [await chat.complete(QUESTION, max_tokens=max_tokens, **wishes) for _ in range(times)]
        return replies[-1]

    result = running(endpoint, action, **options)
    assert isinstance(result, Completion)
    return result


def streamed(endpoint: Endpoint, **options: Any) -> list[str | Completion]:
    """Return the items of the streamed reply to the question."""

    async def action(chat: OpenAIChat) -> list[str | Completion]:
        return [item async for item in chat.stream(QUESTION, max_tokens=64)]

    return list(running(endpoint, action, **options))


def answered(endpoint: Endpoint, text: str = "Spring tides are the highest.") -> Generation:
    """Return the answer out of one passage of that text."""

    async def action(chat: OpenAIChat) -> Generation:
        return await ChatAnswerer(chat).generate(
            "Which tide is highest?", [Candidate.from_text(text, id="t")]
        )

    result = running(endpoint, action)
    assert isinstance(result, Generation)
    return result


def data(*chunks: str) -> list[str]:
    """Return the events of a stream, with the empty lines that end them."""
    return [line for chunk in chunks for line in (f"data: {chunk}", "")]
