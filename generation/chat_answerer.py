"""The answerer that asks a chat model, and checks what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from generation.base import STAGE
from generation.citations import flagged, resolve
from generation.language import nothing_found
from generation.prompts import Templates
from storage.chat import ChatModel, Completion, Message
from storage.errors import ChatError
from storage.records import Candidate, Generation, Outcome

MAX_TOKENS = 1024
# the word that the templates ask for, whatever a model wraps around it
_ABSTAINED = re.compile(r"[\s*_`\"'#]*NO_ANSWER\b[*_`\"'.:：。]*")


class ChatAnswerer:
    """A Generator over a chat model. The n-th candidate is passage `[n]`."""

    def __init__(
        self, chat: ChatModel, *, templates: Templates | None = None, max_tokens: int = MAX_TOKENS
    ) -> None:
        self._chat = chat
        self._templates = templates or Templates.load()
        self._max_tokens = max_tokens

    @property
    def name(self) -> str:
        return self._chat.model

    @property
    def fingerprint(self) -> str:
        return self._templates.fingerprint

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        """An answer with its citations checked: `partial` where it cites nothing, or what was not given.

        Without candidates nothing is asked. Raises ChatError where the endpoint fails or its reply is empty.
        """
        if not candidates:
            return self._nothing(question)
        messages = self._templates.messages(question, candidates)
        completion = await self._chat.complete(messages, max_tokens=self._max_tokens)
        return self._read(completion, messages, candidates, question)

    def _nothing(self, question: str) -> Generation:
        text = nothing_found(question, passages=0)
        return Generation(text=text, outcome=Outcome(STAGE), answerer=self.name, answered=False)

    def _read(
        self,
        completion: Completion,
        messages: Sequence[Message],
        candidates: Sequence[Candidate],
        question: str,
    ) -> Generation:
        outcome = Outcome(STAGE, ms=completion.ms, usage=completion.usage)
        text, answered = _unmarked(completion.text)
        if completion.refusal or (not text and completion.finish_reason == "content_filter"):
            text = completion.refusal or nothing_found(question, passages=len(candidates))
            answered, outcome = False, flagged(outcome, "the model refused to answer")
        elif not completion.text:
            raise ChatError(
                f"{completion.model} sent an empty reply (finish_reason: {completion.finish_reason})",
                way_out="A reasoning model may need a higher limit of tokens for its reply.",
            )
        if completion.finish_reason == "length":
            outcome = flagged(outcome, f"the answer was cut off after {self._max_tokens} tokens")
        resolved = resolve(text, candidates)
        return Generation(
            text=text or nothing_found(question, passages=len(candidates)),
            outcome=flagged(outcome, resolved.complaint) if answered else outcome,
            answerer=completion.model,
            citations=resolved.citations,
            answered=answered,
            prompt="\n\n".join(f"<{message.role}>\n{message.content}" for message in messages),
        )


def _unmarked(text: str) -> tuple[str, bool]:
    """The answer without the word that says there is none, and whether there is one."""
    if match := _ABSTAINED.match(text):
        return text[match.end() :].strip(), False
    return text, True
