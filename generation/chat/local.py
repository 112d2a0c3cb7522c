"""A ChatModel whose server winnow starts itself, when it is first asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from anyio import to_thread

from generation.chat.client import OpenAIChat
from generation.chat.llama_server import LlamaServer
from storage.chat import Completion, Message


class LocalChat:
    """The client of a LlamaServer. A server that has ended is started again for the next question.

    `connect` makes the client for an address and a key.
    """

    def __init__(self, server: LlamaServer, connect: Callable[[str, str], OpenAIChat]) -> None:
        self._server = server
        self._connect = connect
        self._address = ("", "")
        self._chat: OpenAIChat | None = None

    @property
    def model(self) -> str:
        return self._server.file.stem

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        top_logprobs: int = 0,
    ) -> Completion:
        """See `ChatModel.complete`. Raises ChatError."""
        chat = await self._ready()
        found = await chat.complete(messages, max_tokens=max_tokens, schema=schema, top_logprobs=top_logprobs)
        return self._named(found)

    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int
    ) -> AsyncIterator[str | Completion]:
        """See `ChatModel.stream`. Raises ChatError."""
        chat = await self._ready()
        pieces: Any = chat.stream(messages, max_tokens=max_tokens)
        async with aclosing(pieces):  # whoever leaves early ends the model's work
            async for piece in pieces:
                yield self._named(piece) if isinstance(piece, Completion) else piece

    async def models(self) -> list[str]:
        """The model, once it is served. Raises ChatError."""
        chat = await self._ready()
        return await chat.models()

    async def aclose(self) -> None:
        """Close the connections and end the server."""
        if self._chat is not None:
            await self._chat.aclose()
        await to_thread.run_sync(self._server.close)

    def _named(self, completion: Completion) -> Completion:
        """The completion under the model's name: the server calls it by the whole path of its file."""
        return replace(completion, model=self.model)

    async def _ready(self) -> OpenAIChat:
        address = await to_thread.run_sync(self._server.address)
        if self._chat is None or address != self._address:
            former, self._chat, self._address = self._chat, self._connect(*address), address
            if former is not None:
                await former.aclose()
        return self._chat
