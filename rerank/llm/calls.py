"""Calls of a chat model within budget and limiter, counted: what judging and synthesizing share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, Protocol, TypeVar

import anyio

from rerank.llm.budget import Meter, current_meter, estimated_tokens
from rerank.llm.tally import Tally
from rerank.parts import RerankParts
from storage.chat import ChatModel, Completion, Message
from storage.errors import ChatError
from storage.records import Exchange, Usage

T = TypeVar("T")
Lost = Literal["not asked", "failed", "refused", "unreadable"]

# Where a reply was cut off, the model probably reasons aloud: it and all later calls get so many tokens.
_ROOMY = 4_096


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: the messages, the reply's length in tokens, and what is wished for (see `ChatModel`)."""

    messages: tuple[Message, ...]
    max_tokens: int
    schema: Mapping[str, object] | None = None
    top_logprobs: int = 0

    @property
    def most(self) -> Usage:
        """What one call may use at most, estimated."""
        return Usage(1, prompt_tokens(self.messages), self.max_tokens)


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What was read from a reply. `value` is None where nothing could be, and `lost` says why."""

    value: T | None
    lost: Lost | None = None
    usage: Usage = field(default_factory=Usage)


class Replies(Protocol):
    """Replies that were paid for before."""

    def recalled(self, request: Request) -> Completion | None:
        """The reply to this very request, if it is known."""
        ...

    def keep(self, request: Request, completion: Completion) -> None: ...


class Caller:
    """One chat model for one piece of work; what happens is counted in `tally`.

    With `replies` every reply is kept, and what is known is not asked again. `meter` defaults to the running
    stage's.
    """

    def __init__(
        self,
        chat: ChatModel,
        parts: RerankParts,
        tally: Tally,
        *,
        replies: Replies | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._chat = chat
        self._parts = parts
        self._tally = tally
        self._replies = replies
        self._meter = meter or current_meter()
        self._roomy = False

    async def asked(
        self, request: Request, read: Callable[[Completion], T | None], *, again: str
    ) -> Reading[T]:
        """The reply as `read` understands it; where that is None, the model is asked once more.

        `again` is what it is then told. A refusal is not argued with.
        """
        completion = await self._call(request, retry=False)
        spent = Usage() if isinstance(completion, str) else completion.usage
        value = None if isinstance(completion, str) else read(completion)
        if value is None and not isinstance(completion, str) and not completion.refusal:
            self._roomy = self._roomy or completion.finish_reason == "length"
            completion = await self._call(_corrected(request, completion, again), retry=True)
            if not isinstance(completion, str):
                spent += completion.usage
                value = read(completion)
        if isinstance(completion, str):
            return Reading(None, completion, spent)
        if value is None:
            self._tally.unread()
            return Reading(None, "refused" if completion.refusal else "unreadable", spent)
        return Reading(value, usage=spent)

    async def _call(self, wanted: Request, *, retry: bool) -> Completion | Lost:
        roomy = replace(wanted, max_tokens=max(wanted.max_tokens, _ROOMY))
        request, other = (roomy, wanted) if self._roomy else (wanted, roomy)
        if (known := self._recalled(request, other)) is not None:
            self._tally.cached += 1
            self._tally.usage += Usage(cached=1)
            return known
        async with self._parts.limiter:
            most = self._costed(request.most)
            if reason := self._tally.stopped or self._meter.refusal(most):
                self._tally.stopped = reason
                self._tally.not_asked += 1
                return "not asked"
            self._meter.reserve(most)
            spent, completion, error = most, None, "cut off at the deadline"
            try:
                with anyio.move_on_after(self._meter.remaining_s):
                    completion = await self._answered(request)
                    spent = completion.usage
            except ChatError as failure:
                spent, error = Usage(1), str(failure)
            finally:
                self._meter.settle(most, spent)
        spent = replace(spent, retries=spent.retries + retry)
        if completion is None:
            self._tally.failed_with(error, spent)
        else:
            self._tally.succeeded(spent)
        self._note(request.messages, completion, spent, "" if completion else error)
        return completion or "failed"

    def _recalled(self, request: Request, other: Request) -> Completion | None:
        """A reply that was paid for: to the request, or a whole one to the same with another limit."""
        if self._replies is None:
            return None
        if (known := self._replies.recalled(request)) is not None:
            return known
        known = self._replies.recalled(other)
        return None if known is None or known.finish_reason == "length" else known

    async def _answered(self, request: Request) -> Completion:
        completion = await self._chat.complete(
            request.messages,
            max_tokens=request.max_tokens,
            schema=request.schema,
            top_logprobs=request.top_logprobs,
        )
        usage = self._costed(replace(completion.usage, calls=max(1, completion.usage.calls)))
        completion = replace(completion, usage=usage)
        if self._replies is not None:
            self._replies.keep(request, completion)
        return completion

    def _costed(self, usage: Usage) -> Usage:
        """The usage with its cost, where the price table knows the model."""
        price = self._parts.prices.get(self._chat.model)
        return usage if usage.cost is not None or price is None else replace(usage, cost=price.of(usage))

    def _note(
        self, messages: Sequence[Message], completion: Completion | None, spent: Usage, error: str
    ) -> None:
        if not self._parts.keep_exchanges:
            return
        sent = tuple((message.role, message.content) for message in messages)
        text, ms = (completion.text, completion.ms) if completion else ("", 0.0)
        self._tally.exchanges.append(Exchange(self._chat.model, sent, text, spent, ms, error))


def prompt_tokens(messages: Sequence[Message]) -> int:
    """A safe estimate of what messages cost to send."""
    return sum(estimated_tokens(message.content) + 8 for message in messages)


def _corrected(request: Request, completion: Completion, again: str) -> Request:
    """The same question with the reply and a word about it; an empty reply cannot be sent back."""
    messages = request.messages
    if completion.finish_reason == "length":
        return request
    if completion.text.strip():
        replied = (*messages, Message("assistant", completion.text), Message("user", again))
        return replace(request, messages=replied)
    return replace(request, messages=(*messages[:-1], Message("user", f"{messages[-1].content}\n\n{again}")))
