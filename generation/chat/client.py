"""A chat model at any OpenAI-compatible endpoint, through the `openai` package."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio

from generation.chat.events import Events
from generation.chat.reply import Reply, read
from generation.chat.wishes import Wishes, fewer_logprobs, refused_by, shorter_limit
from storage.chat import MAX_REPLY_BYTES, Completion, Message, Price, sendable
from storage.error_bodies import ReportedError, snippet
from storage.errors import ChatError
from storage.openai_client import OPENAI, OpenAIEndpoint, key_headers, said_by, sealed
from storage.reasoning import ReasoningFilter
from storage.records import Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")

# Statuses of a request that is refused for its form, whatever the message, and only if it names a part of it.
_REFUSED = (400, 422)
_REFUSED_BY_NAME = (403, 404, 405, 415, 500, 501, 502, 503)


class OpenAIChat:
    """A ChatModel. Its client belongs to the event loop that first uses it; `aclose()` closes it.

    The client retries by itself (connection errors, 408, 409, 429, 5xx) and honours `Retry-After`.
    `timeout_s` bounds each silence of the endpoint, `timeout_s * (max_retries + 1)` the whole call.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        *,
        timeout_s: float,
        price: Price | None = None,
        wishes: Wishes | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        self._client = client
        self._added = dict(body or {})
        self._model = model
        self._deadline_s = timeout_s * (client.max_retries + 1)
        self._price = price
        self._wishes = wishes or Wishes()
        self._template_opens = False  # traces come without their beginning, so that a stream has to wait
        self._endpoint = _endpoint(model, str(client.base_url).rstrip("/"))

    @classmethod
    def load(
        cls,
        *,
        model: str,
        base_url: str = OPENAI,
        api_key: str | None = None,
        timeout_s: float = 60,
        max_retries: int = 2,
        prices: Mapping[str, Price] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> OpenAIChat:
        """Make a chat model by name. Nothing is sent before the first question.

        Only the given key is sent: no credential, organisation or header is taken from the environment.
        `headers`, `query` and `body` go with every request; a field of `body` replaces winnow's own.
        Raises ChatError if `base_url` is not a URL.
        """
        from openai import AsyncOpenAI

        with _endpoint(model, base_url).translating():
            client = sealed(
                AsyncOpenAI,
                base_url=base_url,
                api_key=api_key,
                timeout_s=timeout_s,
                max_retries=max_retries,
                headers=headers,
                query=query,
                max_reply_bytes=max_reply_bytes,
            )
        wishes = Wishes(new_limit_name="api.openai.com" in base_url)
        price = (prices or {}).get(model)
        return cls(client, model, timeout_s=timeout_s, price=price, wishes=wishes, body=body)

    @property
    def model(self) -> str:
        return self._model

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        top_logprobs: int = 0,
    ) -> Completion:
        """One reply at temperature 0, empty if the model wrote only reasoning. Raises ChatError."""
        started = time.perf_counter()
        body = self._body(messages, max_tokens, schema, top_logprobs)
        with self._endpoint.translating(), anyio.fail_after(self._deadline_s):
            reply, calls = await self._sent(body, lambda raw: _read(raw.content, self._model))
        if schema is not None and reply.arguments and not reply.text.strip():
            reply.text = reply.arguments  # some servers make a schema the form of a tool
        return self._completion(reply, calls, started)

    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int
    ) -> AsyncIterator[str | Completion]:
        """Pieces of the text as they come, then the whole Completion. Raises ChatError at any point.

        Leaving the iteration early closes the connection, so that the server can stop.
        """
        started = time.perf_counter()
        deadline = anyio.current_time() + self._deadline_s
        body = {
            **self._body(messages, max_tokens, None, 0),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        with self._endpoint.translating(), anyio.fail_after(self._deadline_s):
            response, calls = await self._sent(body, lambda response: response)
        collected, events = Reply(self._model), Events()
        shown = ReasoningFilter(opened=self._template_opens)
        arriving = response.aiter_bytes()
        try:
            if _is_whole(response):
                with self._endpoint.translating(), anyio.fail_after(deadline - anyio.current_time()):
                    collected = _read(await response.aread(), self._model)
                if piece := shown.feed(collected.text):
                    yield piece
            came: bytes | None = None if _is_whole(response) else b""
            while came is not None and not events.done:
                with self._endpoint.translating(), anyio.fail_after(deadline - anyio.current_time()):
                    came = await anext(arriving, None)
                for piece in self._pieces(events, came, collected, shown):
                    yield piece
        finally:
            with anyio.CancelScope(shield=True):
                await arriving.aclose()  # here, and not by the collector of garbage in any thread
                await response.aclose()
        if not collected.finish_reason and not (events.done and collected.text):
            said = "" if events.read else f": {snippet(events.beginning)}"
            raise self._unusable(f"the reply broke off before its end{said}")
        collected.finish_reason = collected.finish_reason or "stop"
        if piece := shown.feed(collected.end()) + shown.rest():
            yield piece
        yield self._completion(collected, calls, started)

    async def models(self) -> list[str]:
        """The names of the models that the endpoint offers. Raises ChatError."""
        headers = key_headers(self._client)
        with self._endpoint.translating(), anyio.fail_after(self._deadline_s):
            return sorted([model.id async for model in self._client.models.list(extra_headers=headers)])

    async def aclose(self) -> None:
        await self._client.close()

    def _body(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        schema: Mapping[str, object] | None,
        top_logprobs: int,
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": one.role, "content": sendable(one.content)} for one in messages],
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        if schema is not None:
            reply = {"name": "reply", "schema": dict(schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": reply}
        if top_logprobs:
            body |= {"logprobs": True, "top_logprobs": top_logprobs}
        return body

    async def _sent(self, body: dict[str, Any], take: Callable[[Any], T]) -> tuple[T, int]:
        """The response as `take` reads it, and the number of calls, including those refused for a part of
        the request; some gateways refuse with status 200, which `take` raises as ReportedError.
        """
        from openai import APIStatusError

        refused = set(self._wishes.refused)
        calls, shortened = 1, False
        while True:
            wanted = self._wishes.applied(body, refused)
            try:
                raw = await self._client.chat.completions.with_raw_response.create(
                    **wanted, extra_headers=key_headers(self._client), extra_body=self._added or None
                )
                taken = take(raw.http_response)
            except (APIStatusError, ReportedError) as error:
                code = getattr(error, "status_code", 500)
                said, named_only = said_by(error), code not in _REFUSED
                if named_only and code not in _REFUSED_BY_NAME:
                    raise
                fits = None if named_only or shortened else shorter_limit(said, body["max_tokens"])
                if fits is not None:
                    body, shortened = {**body, "max_tokens": fits}, True
                elif (fewer := fewer_logprobs(said, wanted)) is not None:
                    self._wishes.most_logprobs = fewer
                elif more := refused_by(said, wanted, refused, named_only=named_only):
                    refused |= more
                else:
                    raise
                calls += 1
            else:
                self._wishes.remember(refused)
                return taken, calls + raw.retries_taken

    def _pieces(
        self, events: Events, came: bytes | None, collected: Reply, shown: ReasoningFilter
    ) -> Iterator[str]:
        """Yield what to show of the bytes that came; None is the end. Raises ChatError."""
        with self._endpoint.translating():
            for chunk in events.feed(came or b"", last=came is None):
                if piece := shown.feed(collected.add(chunk)):
                    yield piece

    def _completion(self, collected: Reply, calls: int, started: float) -> Completion:
        prompt, completion = collected.tokens or (0, 0)
        usage = Usage(calls, prompt, completion, retries=calls - 1)
        if self._price and collected.tokens:
            usage = replace(usage, cost=self._price.of(usage))
        reasoning = ReasoningFilter()
        text = (reasoning.feed(collected.text) + reasoning.rest()).strip()
        self._template_opens = self._template_opens or reasoning.unopened
        instead: Literal["", "reasoning", "tool call"] = ""
        if not text:
            thought = collected.reasoned or collected.text.strip()
            instead = "reasoning" if thought else "tool call" if collected.arguments else ""
        return Completion(
            text=text,
            usage=usage,
            model=collected.model,
            finish_reason=collected.finish_reason,
            first_token=collected.first_token,
            refusal=collected.refusal,
            instead=instead,
            ms=(time.perf_counter() - started) * 1000,
        )

    def _unusable(self, why: str) -> ChatError:
        where = f"{self._model} at {self._endpoint.where}"
        return ChatError(f"{where}: {why}", way_out="Try again, or look at the server's log.")


def _is_whole(response: Any) -> bool:
    """True for a reply that is no stream, though one was asked for."""
    kind = response.headers.get("content-type", "")
    return "json" in kind and "ndjson" not in kind and "jsonl" not in kind


def _read(content: bytes, model: str) -> Reply:
    """Read a whole reply, which may come as a stream that nobody asked for. Raises ValueError."""
    if not content.strip():
        raise ValueError("it is empty")
    try:
        return read(json.loads(content), model)
    except json.JSONDecodeError as error:
        if not content.lstrip().startswith((b"data:", b"event:", b":")):
            raise ValueError(f"it is not JSON: {snippet(content.decode('utf-8', 'replace'))}") from error
    collected, events = Reply(model, finish_reason="stop"), Events()
    for chunk in events.feed(content, last=True):
        collected.add(chunk)
    collected.end()
    return collected


def _endpoint(model: str, base_url: str) -> OpenAIEndpoint:
    return OpenAIEndpoint(model, base_url, ChatError, "llm", "llm.model", "chat completions")
