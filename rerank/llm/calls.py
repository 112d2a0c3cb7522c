"""Calls of a chat model within budget and limiter, counted: shared by reranking and synthesis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

import anyio

from rerank.base import flagged
from rerank.llm.budget import Meter, current_meter, estimated_tokens
from rerank.parts import RerankParts
from storage.chat import ChatModel, Completion, Message, cut_prompt
from storage.errors import ChatError
from storage.reasons import Reason
from storage.records import Exchange, Outcome, Usage

T = TypeVar("T")
Lost = Literal["not asked", "failed", "refused", "unreadable"]

# A cut-off reply is probably a model reasoning aloud: the retry and all later calls get this many tokens.
_ROOMY = 4_096
# This many failures in a row mean that the endpoint is down; this many unreadable replies, and no readable
# one, that the model does not understand. Further calls are not paid for.
_GIVE_UP_AFTER = 5
# Characters of an unreadable reply that the outcome shows.
_EXAMPLE = 80


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the messages, the reply's length in tokens, and optional features (see `ChatModel`).

    `label_schema` is the form of a second reply, after one that could not be read.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    schema: Mapping[str, object] | None = None
    top_logprobs: int = 0
    label_schema: Mapping[str, object] | None = None

    @property
    def most(self) -> Usage:
        """The most that one call may use, estimated."""
        return Usage(1, prompt_tokens(self.messages), self.max_tokens)


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """The value read from a reply; None where there is none, and `lost` says why."""

    value: T | None
    lost: Lost | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True)
class CallCounts:
    """The calls of one stage and one question, counted. `stopped` says why no further call is made."""

    judged: int = 0
    cached: int = 0
    unreadable: int = 0
    example: Reason | None = None
    prompt_cut: tuple[int, int] | None = None
    not_asked: int = 0
    stopped: str = ""
    mended: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    shortened: set[int] = field(default_factory=set)
    usage: Usage = field(default_factory=Usage)
    exchanges: list[Exchange] = field(default_factory=list)
    _failed_in_a_row: int = 0

    def succeeded(self, usage: Usage) -> None:
        """Count a call that brought a reply, readable or not."""
        self.usage += usage
        self._failed_in_a_row = 0

    def failed_with(self, reason: str, usage: Usage) -> None:
        """Count a call that brought none."""
        self.usage += usage
        self.failed[reason] += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _GIVE_UP_AFTER:
            self.stopped = self.stopped or Reason("rerank.gave-up-failing", count=self._failed_in_a_row)

    def unread(self, completion: Completion) -> None:
        """Count a reply that could not be read, even when the model was asked again."""
        self.unreadable += 1
        self.example = self.example or _shown(completion)
        if not self.judged and self.unreadable >= _GIVE_UP_AFTER:
            self.stopped = self.stopped or Reason("rerank.gave-up-unreadable", count=self.unreadable)

    def refused(self, reason: str) -> None:
        """Count a call that was not made."""
        self.stopped = reason
        self.not_asked += 1

    def outcome(self, name: str) -> Outcome:
        """`fallback` where no judgement was made, `partial` where some are missing."""
        outcome = Outcome(name, usage=self.usage, exchanges=tuple(self.exchanges))
        for loss in self._losses():
            outcome = flagged(outcome, "partial" if self.judged + self.cached else "fallback", loss)
        for defects, count in sorted(self.mended.items()):
            reason = Reason("rerank.replies-mended", count=count, defects=Reason.of(defects))
            outcome = flagged(outcome, "repaired", reason)
        if self.prompt_cut:
            counted, sent = self.prompt_cut
            outcome = flagged(outcome, "partial", Reason("rerank.prompt-cut", counted=counted, sent=sent))
        if self.shortened:
            reason = Reason("rerank.passages-shortened", count=len(self.shortened))
            outcome = flagged(outcome, "ok", reason)
        if self.cached:
            outcome = flagged(outcome, "ok", Reason("rerank.verdicts-cached", count=self.cached))
        return outcome

    def _losses(self) -> Iterator[Reason]:
        for failure, count in sorted(self.failed.items()):
            yield Reason("rerank.calls-failed", count=count, reason=Reason.of(failure))
        if self.unreadable:
            example = self.example or Reason("rerank.reply-empty")
            yield Reason("rerank.replies-unreadable", count=self.unreadable, example=example)
        if self.not_asked:
            yield Reason("rerank.calls-not-made", count=self.not_asked, reason=Reason.of(self.stopped))


class Caller:
    """One chat model for one piece of work; its calls are counted in `counts`.

    `keep` receives every reply, and a reply that `recall` knows is not requested again. `meter` defaults to
    the running stage's.
    """

    def __init__(
        self,
        chat: ChatModel,
        parts: RerankParts,
        counts: CallCounts,
        *,
        recall: Callable[[Request], Completion | None] = lambda _request: None,
        keep: Callable[[Request, Completion], None] = lambda _request, _completion: None,
        meter: Meter | None = None,
        constrained: bool = False,
    ) -> None:
        self.constrained = constrained
        self._chat = chat
        self._parts = parts
        self._counts = counts
        self._recall = recall
        self._keep = keep
        self._meter = meter or current_meter()
        self._roomy = False

    async def asked(
        self, request: Request, read: Callable[[Completion], T | None], *, again: str | None
    ) -> Reading[T]:
        """The value that `read` finds in the reply; where it finds None, the model is asked once more.

        `again` is the text of that second request, None for none. A refusal is final. Once a free reply could
        not be read and one held to labels could, all are held to them from the first on: `constrained`.
        """
        place = _Place(self._parts.limiter)
        try:
            return await self._asked(request, read, again, place)
        finally:
            place.leave()

    async def _asked(
        self, request: Request, read: Callable[[Completion], T | None], again: str | None, place: _Place
    ) -> Reading[T]:
        completion = await self._call(request, place, retry=False)
        spent = Usage() if isinstance(completion, str) else completion.usage
        value = None if isinstance(completion, str) else read(completion)
        if value is None and again and not isinstance(completion, str) and not completion.refusal:
            self._roomy = self._roomy or completion.cut == "length"
            completion = await self._call(_corrected(request, completion, again), place, retry=True)
            if not isinstance(completion, str):
                spent += completion.usage
                value = read(completion)
                held = request.label_schema is not None and completion.text.lstrip().startswith("{")
                self.constrained = self.constrained or (held and value is not None)
        if isinstance(completion, str):
            return Reading(None, completion, spent)
        if value is None:
            self._counts.unread(completion)
            return Reading(None, "refused" if completion.refusal else "unreadable", spent)
        return Reading(value, usage=spent)

    async def _call(self, wanted: Request, place: _Place, *, retry: bool) -> Completion | Lost:
        request, other = self._as_sent(wanted)
        if (known := self._recalled(request, other)) is not None:
            self._counts.cached += 1
            self._counts.usage += Usage(cached=1)
            return known
        await place.take()
        request, _ = self._as_sent(wanted)  # others' replies may have taught something while it waited
        most = self._costed(request.most)
        if reason := self._counts.stopped or self._meter.refusal(most):
            self._counts.refused(reason)
            return "not asked"
        self._meter.reserve(most)
        spent, completion, error = most, None, Reason("rerank.cut-off")
        try:
            with anyio.move_on_after(self._meter.remaining_s):
                completion = await self._completed(request)
                spent = completion.usage
        except ChatError as failure:
            spent, error = Usage(1), Reason.of(str(failure))
        finally:
            self._meter.settle(most, spent)
        spent = replace(spent, retries=spent.retries + retry)
        if completion is None:
            self._counts.failed_with(error, spent)
        else:
            self._counts.succeeded(spent)
        self._note(request.messages, completion, spent, "" if completion else error)
        return completion or "failed"

    def _as_sent(self, wanted: Request) -> tuple[Request, Request]:
        """The request as the replies so far teach to send it; the same with the other limit of tokens."""
        if self.constrained and wanted.label_schema is not None:
            wanted = replace(wanted, schema=wanted.label_schema, top_logprobs=0)
        roomy = replace(wanted, max_tokens=max(wanted.max_tokens, _ROOMY))
        return (roomy, wanted) if self._roomy else (wanted, roomy)

    def _recalled(self, request: Request, other: Request) -> Completion | None:
        """A reply that was paid for: to this request, or a complete one to the same with another limit."""
        if (known := self._recall(request)) is not None:
            return known
        known = self._recall(other)
        return None if known is None or known.cut else known

    async def _completed(self, request: Request) -> Completion:
        completion = await self._chat.complete(
            request.messages,
            max_tokens=request.max_tokens,
            schema=request.schema,
            top_logprobs=request.top_logprobs,
        )
        usage = self._costed(replace(completion.usage, calls=max(1, completion.usage.calls)))
        completion = replace(completion, usage=usage)
        self._counts.prompt_cut = self._counts.prompt_cut or cut_prompt(request.messages, usage)
        self._keep(request, completion)
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
        self._counts.exchanges.append(Exchange(self._chat.model, sent, text, spent, ms, error))


class _Place:
    """A place among the requests in flight: taken at the first, kept for the one that corrects it.

    A correction that queued up behind all other first requests would teach them nothing.
    """

    def __init__(self, limiter: anyio.CapacityLimiter) -> None:
        self._limiter = limiter
        self._taken = False

    async def take(self) -> None:
        if not self._taken:
            await self._limiter.acquire()
            self._taken = True

    def leave(self) -> None:
        if self._taken:
            self._limiter.release()


def _shown(completion: Completion) -> Reason:
    """The beginning of a reply that could not be read, or what it was instead."""
    said = completion.text or completion.refusal
    line = "".join(one if one.isprintable() else " " for one in said[: _EXAMPLE * 4])
    line = " ".join(line.split())
    words = f"“{line[:_EXAMPLE]}{'…' if len(line) > _EXAMPLE else ''}”" if line else ""
    if completion.cut:
        return Reason("rerank.reply-cut", reason=completion.finish_reason, words=words or "…")
    if words:
        return Reason.of(words)
    if completion.instead == "reasoning":
        return Reason("rerank.reply-reasoning")
    return Reason("rerank.reply-tool-call") if completion.instead else Reason("rerank.reply-empty")


def prompt_tokens(messages: Sequence[Message]) -> int:
    """A safe estimate of the tokens of a prompt."""
    return sum(estimated_tokens(message.content) + 8 for message in messages)


def _corrected(request: Request, completion: Completion, again: str) -> Request:
    """The same question with the reply and a correction; an empty reply cannot be sent back."""
    messages = request.messages
    if request.label_schema:  # a free reply was no label: small models write one where nothing else is left
        request = replace(request, schema=request.label_schema, top_logprobs=0)
    if completion.cut == "length":
        return request
    if completion.text.strip():
        replied = (*messages, Message("assistant", completion.text), Message("user", again))
        return replace(request, messages=replied)
    return replace(request, messages=(*messages[:-1], Message("user", f"{messages[-1].content}\n\n{again}")))
