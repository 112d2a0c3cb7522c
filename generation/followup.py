"""Rewrites follow-up questions with the earlier turns, so that retrieval can understand them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from generation.chat.templating import Templates
from generation.language import HAN, language_of
from storage.chat import ChatModel, Message
from storage.control_tokens import harmless
from storage.errors import ChatError
from storage.reasons import Reason
from storage.records import Outcome

STAGE = "rewrite"
TURNS = 4
_MAX_TOKENS = 256
_ANSWER = 600
_LONGEST = 1000

# Words that point back; "this" and "that" do so before a verb or at the end.
_POINTS_BACK = re.compile(
    r"\b(?:its?|itself|they|them|their|he|she|him|her|his|these|those|former|latter|else|instead)\b"
    r"|\b(?:which|the other|another) ones?\b"
    r"|\b(?:is|was|does|did|can|will) (?:this|that)\b"
    r"|\b(?:this|that)(?:\s+(?:one|is|was|does|did|mean|means|happen|work)\b|\W*$)"
    r"|^\W*(?:and|or|but|so|then|also|why not|what about|how about|what if)\b"
    r"|[它他她这]|那(?!么)|其中|前者|后者|上述|(?<!应)该|呢\W*$|^\W*(?:还有|另外|然后|那么|但是)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
# Questions of at most this many words or Chinese characters are rarely complete in themselves.
_FEW_WORDS, _FEW_CHARACTERS = 2, 4


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A self-contained question and the outcome of making it; `prompt` is empty if no model was asked."""

    question: str
    outcome: Outcome
    prompt: str = ""


class Rewriter(Protocol):
    """Makes a follow-up question self-contained."""

    async def rewrite(self, question: str, turns: Sequence[Turn]) -> Rewrite:
        """The question made self-contained with the turns (oldest first)."""
        ...


class JoinedRewriter:
    """A Rewriter without a model: puts earlier questions before this one, which search can use.

    A question that neither points back ("it", "and …", 它, 呢) nor is very short stays as it is. Earlier
    questions are taken back to the first that is self-contained.
    """

    async def rewrite(self, question: str, turns: Sequence[Turn]) -> Rewrite:
        return Rewrite(_joined(question, turns) if _is_dependent(question) else question, Outcome(STAGE))


@dataclass(frozen=True, slots=True)
class ChatRewriter:
    """A Rewriter over a chat model, which sees the last four turns.

    If the endpoint fails or its reply is not a question, the turns are joined and the outcome is `fallback`.
    """

    chat: ChatModel
    templates: Templates = field(default_factory=Templates.load)
    keep_exchanges: bool = field(default=False, kw_only=True)

    async def rewrite(self, question: str, turns: Sequence[Turn]) -> Rewrite:
        if not turns:
            return Rewrite(question, Outcome(STAGE))
        started = time.perf_counter()
        prompt = self.templates.filled(
            "rewrite", language_of(question), turns=_transcript(turns), question=harmless(question.strip())
        )
        sent = [Message("user", prompt)]
        try:
            completion = await self.chat.complete(sent, max_tokens=_MAX_TOKENS)
        except ChatError as error:
            ms = (time.perf_counter() - started) * 1000
            reason = Reason("generation.question-joined", error=str(error))
            return Rewrite(_joined(question, turns), Outcome(STAGE, "fallback", reason, ms), prompt)
        rewritten = " ".join(completion.text.split()).strip("\"'“”「」")
        exchanges = (completion.exchange(sent),) if self.keep_exchanges else ()
        outcome = Outcome(STAGE, "ok", "", completion.ms, completion.usage, exchanges)
        cut_off = bool(completion.cut)
        if completion.refusal or cut_off or not rewritten or len(rewritten) > _LONGEST:
            reason = Reason("generation.question-joined-after-reply")
            outcome = replace(outcome, status="fallback", reason=reason)
            rewritten = _joined(question, turns)
        return Rewrite(rewritten, outcome, prompt)


def _joined(question: str, turns: Sequence[Turn]) -> str:
    """The question after the one before, and after those that this one depends on in turn."""
    parts = [question.strip()]
    for turn in reversed(turns[-TURNS:]):
        parts.insert(0, turn.question.strip())
        if not _is_dependent(turn.question):
            break
    return " ".join(parts)


def _is_dependent(question: str) -> bool:
    """True if a question seems to depend on earlier ones."""
    if _POINTS_BACK.search(question.strip()):
        return True
    if language_of(question) == "zh":
        return len(HAN.findall(question)) <= _FEW_CHARACTERS and not _WORD.search(HAN.sub(" ", question))
    return len(_WORD.findall(question)) <= _FEW_WORDS


def _transcript(turns: Sequence[Turn]) -> str:
    """The last turns, each part in one line; long answers are cut."""
    lines: list[str] = []
    for turn in turns[-TURNS:]:
        answer = " ".join(turn.answer.split())
        cut = answer if len(answer) <= _ANSWER else answer[:_ANSWER] + " …"
        lines += [f"Q: {harmless(' '.join(turn.question.split()))}", f"A: {harmless(cut)}"]
    return "\n".join(lines)
