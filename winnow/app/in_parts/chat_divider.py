"""Has a chat model divide a question, say it in other words, or write a passage that would answer it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

from generation.chat.templating import Templates
from generation.language import language_of
from rerank.base import flagged
from rerank.llm.budget import Meter
from rerank.llm.calls import CallCounts, Caller, Request
from rerank.parts import RerankParts
from retrieval.clauses import MOST
from storage.chat import ChatModel, Completion, Message
from storage.control_tokens import harmless
from storage.reasons import Reason
from storage.records import Outcome
from winnow.app.in_parts.dividing import STAGE, Division, asked_in

_MAX_TOKENS = 512
_LONGEST = 500
_SCHEMA = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["questions"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class ChatDivider:
    """A Divider over a chat model; one that fails or replies no questions leaves the question whole.

    Its call keeps to the budget of `parts`, which the question's rankings then share.
    """

    chat: ChatModel
    kind: Literal["decompose", "multi-query", "hyde"]
    templates: Templates
    parts: RerankParts

    async def divide(self, question: str) -> Division | None:
        started, counts = perf_counter(), CallCounts()
        prompt = self.templates.filled(
            self.kind, language_of(question), question=harmless(" ".join(question.split()))
        )
        request = Request((Message("user", prompt),), _MAX_TOKENS, None if self.kind == "hyde" else _SCHEMA)
        caller = Caller(self.chat, self.parts, counts, meter=Meter(self.parts.budget))
        found = (await caller.asked(request, self._read, again=None)).value
        counts.judged = 0 if found is None else 1
        outcome = replace(counts.outcome(STAGE), ms=(perf_counter() - started) * 1000)
        if found is None:
            return Division(
                (), replace(outcome, reason=Reason("winnow.app.not-divided", error=outcome.reason))
            )
        return self._division(question, found, outcome)

    def _read(self, reply: Completion) -> list[str] | None:
        """The questions of a whole reply; the passage of `hyde`, even where it was cut."""
        if reply.refusal:
            return None
        if self.kind == "hyde":
            return [passage] if (passage := " ".join(reply.text.split())) else None
        return None if reply.cut else questions_of(reply.text) or None

    def _division(self, question: str, found: Sequence[str], outcome: Outcome) -> Division:
        if self.kind == "hyde":
            [passage] = found
            reason = Reason("winnow.app.searched-like", passage=passage)
            return Division((), flagged(outcome, "ok", reason), passage=passage)
        each = self.kind == "decompose"
        questions = tuple(dict.fromkeys(found if each else [question, *found]))[:MOST]
        if len(questions) == 1:
            return Division((), outcome)
        return Division(questions, flagged(outcome, "ok", asked_in(questions, each=each)), each=each)


def questions_of(reply: str) -> list[str]:
    """The questions of a reply, as JSON (in a fence, too) or as a list; empty where it is neither."""
    found = re.search(r"[\[{].*[\]}]", reply, re.DOTALL)
    try:
        value = json.loads(found[0]) if found else None
    except ValueError:
        value = None
    if isinstance(value, dict):
        value = value.get("questions")
    if not isinstance(value, list):
        value = re.findall(r"^\s*(?:\d+\s*[.)、．]|[-*•])\s*(\S.*)$", reply, re.MULTILINE)
    if not all(isinstance(one, str) and len(one) <= _LONGEST for one in value):
        return []
    return [text for one in value if (text := " ".join(one.split()))]
