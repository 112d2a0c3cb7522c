"""Judging groups of passages with a language model: the part that every LLM strategy shares.

A PassageJudge belongs to one question. It fills in the prompt, looks into the cache, keeps to budget and
limiter, reads the reply, asks again once where it cannot be read, and counts everything that went wrong.
A group without a readable judgement is None: the strategies then keep its order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

import anyio
from anyio import to_thread
from pydantic import Field

from rerank.base import by_score, check_top_k, gathered, in_order, unchanged
from rerank.llm.calls import CallCounts, Caller, Request, prompt_tokens
from rerank.llm.templates import RerankPrompts, clipped, fenced, language_of
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.score_memory import ScoreMemory, text_key
from rerank.spec import Value
from storage.chat import Completion, Message
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking, Usage

Group = tuple[int, ...]  # the passages, by position
Scores = tuple[float, ...]
Case = tuple[int, Group]  # `top`, and the passages


@dataclass(frozen=True, slots=True)
class Judgement:
    """One score per passage of the group, higher is better; `defects` tells what was wrong with the reply."""

    scores: Scores
    defects: Reason | None = None


def numbered(n: int) -> list[str]:
    """The ids of passages in a prompt: 1, 2, 3 …"""
    return [str(i) for i in range(1, n + 1)]


@dataclass(frozen=True, slots=True)
class JudgementPrompt:
    """A kind of prompt: its template, the form of the reply, and how the reply is read.

    `read` gets a reply, the number of passages, and `top`; `max_tokens` is the reply's length for n passages.
    `verdicts` are the only replies to n passages and `top`, which a reply is held to where a free one could
    not be read and the endpoint takes a schema; without, any is free.
    """

    template: str
    read: Callable[[Completion, int, int], Judgement | None]
    max_tokens: Callable[[int], int]
    labels: Callable[[int], Sequence[str]] = numbered
    schema: Mapping[str, object] | None = None
    top_logprobs: int = 0
    verdicts: Callable[[int, int], Sequence[str | int]] | None = None

    def label_schema(self, n: int, top: int) -> Mapping[str, object] | None:
        """The form of a reply that is nothing but a verdict; None where `schema` is the only one."""
        if self.verdicts is None:
            return None
        verdict = {"enum": list(self.verdicts(n, top))}
        return {
            "type": "object",
            "properties": {"answer": verdict},
            "required": ["answer"],
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Options of every strategy that asks a language model.

    `words` is a passage's length in words (Chinese characters); it shrinks until a prompt of at most
    `context` estimated tokens holds all passages, reply included.
    """

    model: str | None = None
    words: Annotated[int, Field(ge=16)] = 300
    context: Annotated[int, Field(ge=256)] = 32_000


Options = TypeVar("Options", bound=ModelOptions)


class LLMStage(ABC, Generic[Options]):
    """Base of the strategies that ask a chat model: each has its prompt, and ranks with a judge.

    Raises SettingsError for a missing chat model or an unusable template.
    """

    needs = "a chat model"
    declares: ClassVar[type[Any]]
    scores = True
    fewest = 2  # fewer candidates are not judged

    def __init__(self, parts: RerankParts, name: str, options: Options) -> None:
        self.constrained = parts.constrained  # replies are held to labels from the first on
        self.name = name
        self.options = options
        self.prompt = self.asks()
        self.parts = parts
        self.chat = parts.needed_chat(name, options.model)
        self.templates = RerankPrompts(parts.prompts)
        for language in ("en", "zh"):
            self.templates.messages(
                self.prompt.template, language, question="", passages="", count="", top=""
            )

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Self:
        return cls(parts, name, read_options(cls.declares, name, options))

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if len(candidates) < self.fewest:
            return in_order(self.name, [(c, None) for c in candidates], top_k, Outcome(self.name))
        async with PassageJudge(self, query, candidates) as judge:
            return await self.rank(judge, len(candidates), top_k)

    @abstractmethod
    def asks(self) -> JudgementPrompt:
        """Its kind of prompt, which its options may choose."""

    @abstractmethod
    async def rank(self, judge: PassageJudge, n: int, top_k: int) -> Ranking:
        """The ranking of the judge's `n` candidates."""


class PassageJudge:
    """Judges groups of one question's passages. Use as `async with`."""

    def __init__(self, stage: LLMStage[Any], question: str, candidates: Sequence[Candidate]) -> None:
        self._stage = stage
        self._question = question
        self._candidates = candidates
        self._texts = [candidate.chunk.encoded_text for candidate in candidates]
        self._language = language_of(question)
        self._known: dict[Case, Scores] = {}
        self._looked_up: set[Case] = set()
        self._locks: dict[Case, anyio.Lock] = {}
        self._fresh: dict[str, float] = {}
        self._counts = CallCounts()
        self._caller = Caller(stage.chat, stage.parts, self._counts, constrained=stage.constrained)
        fingerprint = f"{stage.prompt.template}:{stage.chat.model}"
        self._memory = ScoreMemory(stage.parts.cache, fingerprint, question)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._keep()

    async def by_score(self, scores: Sequence[float | None], top_k: int) -> Ranking:
        """The candidates by score, or in the incoming order where the model judged nothing."""
        outcome = await self._outcome()
        if outcome.status == "fallback":
            return unchanged(self._candidates, top_k, outcome)
        return by_score(self._stage.name, self._candidates, scores, top_k, outcome)

    async def in_order(self, order: Sequence[int], top_k: int) -> Ranking:
        """The candidates in an order (positions), or the incoming one where the model judged nothing."""
        outcome = await self._outcome()
        if outcome.status == "fallback":
            return unchanged(self._candidates, top_k, outcome)
        return in_order(self._stage.name, [(self._candidates[i], None) for i in order], top_k, outcome)

    async def _outcome(self) -> Outcome:
        await self._keep()  # it may fail, which the outcome tells
        return self._memory.flagged(self._counts.outcome(self._stage.name))

    async def _keep(self) -> None:
        fresh, self._fresh = self._fresh, {}
        if self._memory.available and fresh:
            # paid scores are kept, even when the question is cancelled
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._memory.keep, fresh)

    async def scores_of_all(self, groups: Sequence[Group], top: int = 0) -> list[Scores | None]:
        """The scores of each group, judged concurrently; the cache is read first, once for all."""
        await self._look_up([(top, group) for group in groups])
        return await gathered([partial(self.scores_of, group, top) for group in groups])

    async def scores_of(self, group: Group, top: int = 0) -> Scores | None:
        """One score per passage of the group; None without a usable reply. Nothing is paid for twice.

        `top` fills `$top` in the prompt.
        """
        case = (top, group)
        # a second task that wants the same waits for the first
        async with self._locks.setdefault(case, anyio.Lock()):
            await self._look_up([case])
            if case not in self._known and (judgement := await self._judged(case)) is not None:
                self._note(case, judgement)
        return self._known.get(case)

    def _note(self, case: Case, judgement: Judgement) -> None:
        self._known[case] = judgement.scores
        if judgement.defects:
            self._counts.mended[judgement.defects] += 1
        else:
            self._fresh.update(zip(self._keys(case), judgement.scores, strict=True))

    async def _look_up(self, cases: Sequence[Case]) -> None:
        wanted = [case for case in cases if case not in self._known and case not in self._looked_up]
        if not self._memory.available or not wanted:
            return
        self._looked_up.update(wanted)
        keys = {case: self._keys(case) for case in wanted}
        every = [key for case in wanted for key in keys[case]]
        found = await to_thread.run_sync(self._memory.known, every)
        for case in keys:
            if all(key in found for key in keys[case]):
                self._known[case] = tuple(found[key] for key in keys[case])
                self._counts.cached += 1
                self._counts.usage += Usage(cached=1)

    def _keys(self, case: Case) -> list[str]:
        """Hashes of everything that the model sees, one for each passage of the group."""
        sent = "\0".join(message.content for message in self._messages(case))
        return [text_key(f"{i}\0{sent}") for i in range(len(case[1]))]

    def _messages(self, case: Case) -> tuple[Message, ...]:
        top, group = case
        words, prompt, n = self._stage.options.words, self._stage.prompt, len(group)
        held = self._stage.parts.context or self._stage.options.context
        room = min(self._stage.options.context, held) - prompt.max_tokens(n)
        while True:
            texts = [clipped(self._texts[i], words) for i in group]
            messages = self._stage.templates.messages(
                prompt.template,
                self._language,
                question=" ".join(self._question.split()),
                passages=fenced(prompt.labels(n), texts),
                count=str(n),
                top=str(top),
            )
            if words <= 16 or prompt_tokens(messages) <= room:
                break
            words = words * 3 // 4
        whole = [" ".join(self._texts[i].split()) for i in group]
        self._counts.shortened.update(
            i for i, text, full in zip(group, texts, whole, strict=True) if text != full
        )
        return messages

    async def _judged(self, case: Case) -> Judgement | None:
        top, group = case
        prompt, n = self._stage.prompt, len(group)
        labels = prompt.label_schema(n, top)
        request = Request(
            self._messages(case), prompt.max_tokens(n), prompt.schema, prompt.top_logprobs, labels
        )
        again = self._stage.templates.text("again", self._language).strip()
        reading = await self._caller.asked(request, lambda reply: prompt.read(reply, n, top), again=again)
        self._counts.judged += reading.value is not None
        self._stage.constrained = self._stage.constrained or self._caller.constrained
        return reading.value
