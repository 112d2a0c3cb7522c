"""Follow-up questions: rewritten with the earlier turns, so that retrieval can understand them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from generation.language import language_of
from generation.prompts import harmless
from generation.templating import Templates
from storage.chat import ChatModel, Message
from storage.errors import ChatError
from storage.records import Outcome

STAGE = "rewrite"
TURNS = 4
_MAX_TOKENS = 256
_ANSWER = 600
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question and what was answered."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A question that stands by itself, and how it was made; `prompt` is empty where no model was asked."""

    question: str
    outcome: Outcome
    prompt: str = ""


class Rewriter(Protocol):
    async def rewrite(self, question: str, turns: Sequence[Turn]) -> Rewrite:
        """The question as it would be asked without the turns (oldest first)."""
        ...


class JoinedRewriter:
    """A Rewriter without a model: the question before, then this one. Enough for shared words and vectors."""

    async def rewrite(self, question: str, turns: Sequence[Turn]) -> Rewrite:
        return Rewrite(_joined(question, turns), Outcome(STAGE))


class ChatRewriter:
    """A Rewriter over a chat model, which sees the last four turns.

    Where the endpoint fails or its reply is no question, the turns are joined and the outcome is `fallback`.
    """

    def __init__(self, chat: ChatModel, templates: Templates | None = None) -> None:
        self._chat = chat
        self._templates = templates or Templates.load()

    async def rewrite(self, question: str, turns: Sequence[Turn]) -> Rewrite:
        if not turns:
            return Rewrite(question, Outcome(STAGE))
        started = time.perf_counter()
        prompt = self._templates.filled(
            "rewrite", language_of(question), turns=_shown(turns), question=harmless(question.strip())
        )
        try:
            completion = await self._chat.complete([Message("user", prompt)], max_tokens=_MAX_TOKENS)
        except ChatError as error:
            ms = (time.perf_counter() - started) * 1000
            reason = f"the question was joined to the one before: {error}"
            return Rewrite(_joined(question, turns), Outcome(STAGE, "fallback", reason, ms), prompt)
        rewritten = " ".join(completion.text.split()).strip("\"'“”「」")
        outcome = Outcome(STAGE, ms=completion.ms, usage=completion.usage)
        if completion.refusal or not rewritten or len(rewritten) > _LONGEST:
            reason = "the question was joined to the one before: the model's reply is no question"
            outcome = Outcome(STAGE, "fallback", reason, completion.ms, completion.usage)
            rewritten = _joined(question, turns)
        return Rewrite(rewritten, outcome, prompt)


def _joined(question: str, turns: Sequence[Turn]) -> str:
    return f"{turns[-1].question.strip()} {question.strip()}" if turns else question


def _shown(turns: Sequence[Turn]) -> str:
    """The last turns, each part in one line; long answers are cut."""
    lines: list[str] = []
    for turn in turns[-TURNS:]:
        answer = " ".join(turn.answer.split())
        cut = answer if len(answer) <= _ANSWER else answer[:_ANSWER] + " …"
        lines += [f"Q: {harmless(' '.join(turn.question.split()))}", f"A: {harmless(cut)}"]
    return "\n".join(lines)
