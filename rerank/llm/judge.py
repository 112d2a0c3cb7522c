"""Asking a language model about groups of passages: the part that every LLM strategy shares.

A Judge belongs to one question. It fills in the prompt, looks into the cache, keeps to budget and limiter,
reads the reply, asks once more where it cannot be read, and counts everything that did not go as asked.
A group without a verdict is None: the strategies then leave the order as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import anyio
from anyio import to_thread

from rerank.llm.calls import Caller, Request, prompt_tokens
from rerank.llm.tally import Tally
from rerank.llm.templates import Prompts, clipped, fenced, language_of
from rerank.memory import Memory
from rerank.options import at_least
from rerank.parts import RerankParts
from storage.chat import ChatModel, Completion, Message
from storage.records import Candidate, Outcome, Usage

Group = tuple[int, ...]  # the passages, by position
Scores = tuple[float, ...]
Case = tuple[int, Group]  # `top`, and the passages


@dataclass(frozen=True, slots=True)
class Verdict:
    """One score a passage of the group, higher is better; `mended` says what was wrong with the reply."""

    scores: Scores
    mended: str = ""


def numbered(n: int) -> list[str]:
    """The ids of passages in a prompt: 1, 2, 3 …"""
    return [str(i) for i in range(1, n + 1)]


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of question to a model: its template, what it may reply, how the reply is read.

    `read` gets a reply, the number of passages, and `top`; `max_tokens` is the reply's length for n passages.
    """

    template: str
    read: Callable[[Completion, int, int], Verdict | None]
    max_tokens: Callable[[int], int]
    labels: Callable[[int], Sequence[str]] = numbered
    schema: Mapping[str, object] | None = None
    top_logprobs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Options of every strategy that asks a language model.

    `words` is a passage's length in words (Chinese characters); it shrinks until a prompt of at most
    `context` estimated tokens holds all passages, reply included.
    """

    model: str | None = None
    words: int = 300
    context: int = 32_000

    def __post_init__(self) -> None:
        at_least(16, words=self.words)
        at_least(256, context=self.context)


@dataclass(frozen=True, slots=True)
class Court:
    """What makes Judges: a chat model, a form, and what all questions share."""

    name: str
    chat: ChatModel
    form: Form
    prompts: Prompts
    options: ModelOptions
    parts: RerankParts

    @classmethod
    def of(cls, parts: RerankParts, name: str, options: ModelOptions, form: Form) -> Court:
        """The court of a stage. Raises SettingsError for a missing chat model or an unusable prompt."""
        prompts = Prompts(parts.prompts)
        for language in ("en", "zh"):
            prompts.messages(form.template, language, question="", passages="", count="", top="")
        return cls(name, parts.needed_chat(name, options.model), form, prompts, options, parts)

    def judge(self, question: str, candidates: Sequence[Candidate]) -> Judge:
        """A Judge for one question."""
        return Judge(self, question, [candidate.chunk.encoded_text for candidate in candidates])


class Judge:
    """Verdicts about groups of one question's passages. Use as `async with`."""

    def __init__(self, court: Court, question: str, texts: Sequence[str]) -> None:
        self._court = court
        self._question = question
        self._texts = texts
        self._language = language_of(question)
        self._known: dict[Case, Scores] = {}
        self._looked_up: set[Case] = set()
        self._asking: dict[Case, anyio.Lock] = {}
        self._fresh: dict[str, float] = {}
        self._tally = Tally()
        self._caller = Caller(court.chat, court.parts, self._tally)
        fingerprint = f"{court.form.template}:{court.chat.model}"
        self._memory = Memory(court.parts.cache, fingerprint, question)

    async def __aenter__(self) -> Judge:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._memory.there and self._fresh:
            # what was paid for is kept, even when the question is cancelled
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._memory.keep, dict(self._fresh))

    def outcome(self) -> Outcome:
        """How it went so far."""
        return self._memory.told(self._tally.outcome(self._court.name))

    async def verdicts(self, groups: Sequence[Group], top: int = 0) -> list[Scores | None]:
        """A verdict for each group, asked for concurrently; the cache is asked first, once for all."""
        await self._look_up([(top, group) for group in groups])
        found: list[Scores | None] = [None] * len(groups)

        async def ask(position: int, group: Group) -> None:
            found[position] = await self.verdict(group, top)

        async with anyio.create_task_group() as tasks:
            for position, group in enumerate(groups):
                tasks.start_soon(ask, position, group)
        return found

    async def verdict(self, group: Group, top: int = 0) -> Scores | None:
        """One score a passage of the group; None where there is no usable reply. Nothing is paid twice.

        `top` fills `$top` in the prompt.
        """
        case = (top, group)
        # a second task that wants the same waits for the first
        async with self._asking.setdefault(case, anyio.Lock()):
            await self._look_up([case])
            if case not in self._known and (verdict := await self._asked(case)) is not None:
                self._note(case, verdict)
        return self._known.get(case)

    def _note(self, case: Case, verdict: Verdict) -> None:
        self._known[case] = verdict.scores
        if verdict.mended:
            self._tally.mended[verdict.mended] += 1
        else:
            self._fresh.update(zip(self._keys(case), verdict.scores, strict=True))

    async def _look_up(self, cases: Sequence[Case]) -> None:
        wanted = [case for case in cases if case not in self._known and case not in self._looked_up]
        if not self._memory.there or not wanted:
            return
        self._looked_up.update(wanted)
        keys = {case: self._keys(case) for case in wanted}
        every = [key for case in wanted for key in keys[case]]
        found = await to_thread.run_sync(self._memory.known, every)
        for case in keys:
            if all(key in found for key in keys[case]):
                self._known[case] = tuple(found[key] for key in keys[case])
                self._tally.cached += 1
                self._tally.usage += Usage(cached=1)

    def _keys(self, case: Case) -> list[str]:
        """Hashes of all that the model sees, one for each passage of the group."""
        sent = "\0".join(message.content for message in self._messages(case))
        return [_sha256(f"{i}\0{sent}") for i in range(len(case[1]))]

    def _messages(self, case: Case) -> tuple[Message, ...]:
        top, group = case
        words, form, n = self._court.options.words, self._court.form, len(group)
        room = self._court.options.context - form.max_tokens(n)
        while True:
            texts = [clipped(self._texts[i], words) for i in group]
            messages = self._court.prompts.messages(
                form.template,
                self._language,
                question=" ".join(self._question.split()),
                passages=fenced(form.labels(n), texts),
                count=str(n),
                top=str(top),
            )
            if words <= 16 or prompt_tokens(messages) <= room:
                break
            words = words * 3 // 4
        whole = [" ".join(self._texts[i].split()) for i in group]
        self._tally.shortened.update(
            i for i, text, full in zip(group, texts, whole, strict=True) if text != full
        )
        return messages

    async def _asked(self, case: Case) -> Verdict | None:
        top, group = case
        form = self._court.form
        request = Request(self._messages(case), form.max_tokens(len(group)), form.schema, form.top_logprobs)
        again = self._court.prompts.text("again", self._language).strip()
        reading = await self._caller.asked(
            request, lambda completion: form.read(completion, len(group), top), again=again
        )
        self._tally.judged += reading.value is not None
        return reading.value


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
