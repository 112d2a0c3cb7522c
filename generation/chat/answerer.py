"""The answerer that asks a chat model and checks its reply."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from generation.abstention import abstained, abstention
from generation.base import STAGE, closing
from generation.chat.checking import Check, checked
from generation.chat.prompts import Prompt, Prompter
from generation.chat.templating import Templates
from generation.citations import flagged, resolve
from storage.chat import ChatModel, Completion, cut_prompt
from storage.errors import ChatError
from storage.reasons import Reason
from storage.records import Candidate, Generation, Outcome

MAX_TOKENS = 1024
# The word that the templates ask for, with whatever a model wraps around it.
_WORD = "NO_ANSWER"
_ABSTAINED = re.compile(rf"[\s*_`\"'#]*{_WORD}\b[*_`\"'.:：。]*")
_DECORATION = 8
# In place of half a character, or of bytes that are none; a passage that holds it may be quoted.
_BROKEN = "\ufffd"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswerer:
    """A Generator over a chat model; it can stream. The n-th candidate is passage `[n]`.

    `max_tokens` bounds the reply, a reasoning model's thinking included. `check`: sentences whose quotations,
    numbers or names their passages lack are flagged, or dropped (`generation.chat.checking`).
    """

    chat: ChatModel = field(kw_only=False)
    prompter: Prompter = field(default_factory=lambda: Prompter(Templates.load()))
    max_tokens: int = MAX_TOKENS
    keep_exchanges: bool = False
    check: Check = "flag"

    @property
    def name(self) -> str:
        return self.chat.model

    @property
    def fingerprint(self) -> str:
        return self.prompter.fingerprint

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        """An answer with checked citations: `partial` if it cites nothing, or a passage that was not given.

        Without candidates no model is asked. Raises ChatError if the endpoint fails or its reply is empty.
        """
        if not candidates:
            return abstained(question, candidates, self.name)
        prompt = self.prompter.prompt(question, candidates)
        completion = await self.chat.complete(prompt.messages, max_tokens=self.max_tokens)
        return self._read(question, candidates, prompt, completion)

    async def stream(self, question: str, candidates: Sequence[Candidate]) -> AsyncIterator[str | Generation]:
        """Pieces of the answer, then the Generation, whose text they add up to except for outer white space.

        A reply that begins with the word for "no answer" is shown without it. Raises ChatError at any point.
        """
        if not candidates:
            generation = abstained(question, candidates, self.name)
            yield generation.text
            yield generation
            return
        prompt = self.prompter.prompt(question, candidates)
        held: str | None = ""  # until it is clear whether the reply begins with the word
        shown = False
        async with closing(self.chat.stream(prompt.messages, max_tokens=self.max_tokens)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    generation = self._read(question, candidates, prompt, item)
                    if not shown:
                        yield generation.text
                    yield generation
                    return
                if self.check == "drop":
                    continue  # what may yet go is not shown
                piece, held = _released(item, held)
                shown = shown or bool(piece)
                if piece:
                    yield piece

    def _read(
        self, question: str, candidates: Sequence[Candidate], prompt: Prompt, completion: Completion
    ) -> Generation:
        text, answered = _unmarked(completion.text)
        outcome = flagged(self._outcome(prompt, completion), *prompt.complaints)
        if completion.refusal or (not text and completion.cut == "filter"):
            text, answered = completion.refusal, False
            outcome = flagged(outcome, Reason("generation.model-refused"))
        elif not completion.text:
            raise _empty(completion)
        if completion.cut == "length":
            outcome = flagged(outcome, Reason("generation.answer-cut-off", tokens=self.max_tokens))
        elif completion.cut and answered and text:
            outcome = flagged(outcome, Reason("generation.answer-stopped", reason=completion.finish_reason))
        if lost := cut_prompt(prompt.messages, completion.usage):
            outcome = flagged(outcome, Reason("generation.prompt-cut", counted=lost[0], sent=lost[1]))
        if answered:
            looked = checked(question, text, prompt.shown, prompt.given, self.check)
            text, answered = looked.text, bool(looked.text)
            outcome = flagged(outcome, *looked.complaints)
        if _BROKEN in text and _BROKEN not in prompt.text:
            outcome = flagged(outcome, Reason("generation.broken-characters", n=text.count(_BROKEN)))
        resolved = resolve(text, prompt.shown, prompt.given)
        return Generation(
            text=text or abstention(question, candidates),
            outcome=flagged(outcome, resolved.complaint) if answered else outcome,
            answerer=completion.model,
            citations=resolved.citations,
            answered=answered,
            prompt=prompt.text,
        )

    def _outcome(self, prompt: Prompt, completion: Completion) -> Outcome:
        exchanges = (completion.exchange(prompt.messages),) if self.keep_exchanges else ()
        return Outcome(STAGE, ms=completion.ms, usage=completion.usage, exchanges=exchanges)


def _empty(completion: Completion) -> ChatError:
    """The error of a reply without a text, which says what came instead."""
    ended = f"(finish_reason: {completion.finish_reason})"
    if completion.instead == "tool call":
        return ChatError(
            f"{completion.model} sent a tool call and no text {ended}",
            way_out="Switch tools off at the endpoint, or choose another model.",
        )
    sent = "only reasoning and no answer" if completion.instead else "an empty reply"
    return ChatError(
        f"{completion.model} sent {sent} {ended}",
        way_out="A reasoning model may need a higher limit of tokens (answer.max_tokens), or to think less: "
        'llm.body = {reasoning_effort = "low"}, or what its server takes.',
    )


def _unmarked(text: str) -> tuple[str, bool]:
    """The text without the word for "no answer"; False with it if the word was there."""
    if match := _ABSTAINED.match(text):
        return text[match.end() :].lstrip(), False
    return text, True


def _released(piece: str, held: str | None) -> tuple[str, str | None]:
    """The text to show after the next piece, and the text still held back (None: nothing more is held)."""
    if held is None:
        return piece, None
    held += piece
    return ("", held) if _undecided(held) else (_unmarked(held)[0], None)


def _undecided(text: str) -> bool:
    """True while the beginning of a reply may still turn out to be the word with its decoration."""
    if len(text) > len(_WORD) + _DECORATION:
        return False
    bare = text.lstrip(" \n\t*_`\"'#")
    return _WORD.startswith(bare) or bool(_ABSTAINED.fullmatch(text))
