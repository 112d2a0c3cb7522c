"""Has a chat model divide a question, say it in other words, or write a passage that would answer it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

from generation.chat.templating import Templates
from generation.language import language_of
from retrieval.clauses import MOST
from storage.chat import ChatModel, Completion, Message
from storage.control_tokens import harmless
from storage.errors import ChatError
from storage.reasons import Reason
from storage.records import Exchange, Outcome
from winnow.app.in_parts import STAGE, Division, asked_in

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
    """A Divider over a chat model; one that fails or replies no questions leaves the question whole."""

    chat: ChatModel
    kind: Literal["decompose", "multi-query", "hyde"]
    templates: Templates
    keep_exchanges: bool = False

    async def divide(self, question: str) -> Division | None:
        started = perf_counter()
        prompt = self.templates.filled(
            self.kind, language_of(question), question=harmless(" ".join(question.split()))
        )
        try:
            completion = await self.chat.complete(
                [Message("user", prompt)],
                max_tokens=_MAX_TOKENS,
                schema=None if self.kind == "hyde" else _SCHEMA,
            )
        except ChatError as error:
            reason = Reason("winnow.app.not-divided", error=str(error))
            return Division((), Outcome(STAGE, "fallback", reason, (perf_counter() - started) * 1000))
        outcome = Outcome(STAGE, "ok", "", completion.ms, completion.usage, self._kept(prompt, completion))
        if self.kind == "hyde":
            return _like(completion, outcome)
        listed = [] if completion.refusal or completion.cut else questions_of(completion.text)
        if not listed:
            reason = Reason("winnow.app.no-parts-in-reply")
            return Division((), replace(outcome, status="fallback", reason=reason))
        each = self.kind == "decompose"
        found = tuple(dict.fromkeys(listed if each else [question, *listed]))[:MOST]
        if len(found) == 1:
            return Division((), outcome)
        return Division(found, replace(outcome, reason=asked_in(found, each=each)), each=each)

    def _kept(self, prompt: str, completion: Completion) -> tuple[Exchange, ...]:
        if not self.keep_exchanges:
            return ()
        reply = completion.text or completion.refusal
        return (Exchange(completion.model, (("user", prompt),), reply, completion.usage, completion.ms),)


def _like(completion: Completion, outcome: Outcome) -> Division:
    """A search with what the model wrote, even where it was cut."""
    passage = " ".join(completion.text.split())
    if completion.refusal or not passage:
        return Division(
            (), replace(outcome, status="fallback", reason=Reason("winnow.app.no-passage-in-reply"))
        )
    reason = Reason("winnow.app.searched-like", passage=passage)
    return Division((), replace(outcome, reason=reason), passage=passage)


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
