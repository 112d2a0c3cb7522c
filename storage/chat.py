"""The messages and replies of a chat model, shared by rerank strategies and answerers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from storage.records import Exchange, Usage

Role = Literal["system", "user", "assistant"]
Cut = Literal["", "length", "filter", "other"]

# Far more than any model writes; a stream takes some 300 bytes for each token.
MAX_REPLY_BYTES = 16 << 20

# Shorter prompts than this (tokens) fit everywhere.
_NOTICEABLE = 512

# What servers call the end of a whole reply, of one that met a limit, and of one that a filter stopped.
_WHOLE = re.compile(
    r"stop|stop_sequence|end|end_turn|eos|eos_token|completed?|finish(?:ed)?|done|success|null|none"
    r"|tool_(?:calls?|use)|function_call|(?:finish_reason_)?unspecified"
)
_FULL = re.compile(r"length|max_?(?:output_?|new_?)?tokens?|token_limit|context|incomplete|truncat")
_FILTERED = re.compile(r"filter|safety|sensitive|recitation|block|prohibited|spii|moderat|refus|guardrail")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat model's reply; reasoning traces have been removed from `text`.

    `first_token` maps the candidates for the first token of the reply to their log-probabilities, where the
    server gives them; otherwise it is None. `finish_reason` is the server's word, `cut` its meaning.
    `refusal` holds a structured refusal, otherwise it is empty. `instead` names what came instead of a text:
    `reasoning` or `tool call`.
    """

    text: str
    usage: Usage
    model: str
    finish_reason: str = "stop"
    first_token: Mapping[str, float] | None = None
    refusal: str = ""
    ms: float = 0.0
    instead: Literal["", "reasoning", "tool call"] = ""

    @property
    def cut(self) -> Cut:
        """Why the reply is not whole: a limit of its length, a filter, or another reason; empty if it is."""
        word = self.finish_reason.strip().lower().replace("-", "_")
        if not word or _WHOLE.fullmatch(word):
            return ""
        return "length" if _FULL.search(word) else "filter" if _FILTERED.search(word) else "other"

    def exchange(self, messages: Sequence[Message]) -> Exchange:
        """Return the whole call, for the log; `messages` were sent."""
        sent = tuple((message.role, message.content) for message in messages)
        return Exchange(self.model, sent, self.text or self.refusal, self.usage, self.ms)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model or API: for a million tokens, and for each call."""

    prompt: float = 0.0
    completion: float = 0.0
    call: float = 0.0

    def of(self, usage: Usage) -> float:
        """Return the cost of calls, their tokens included."""
        tokens = usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
        return usage.calls * self.call + tokens / 1_000_000


class ChatModel(Protocol):
    """An OpenAI-compatible chat model, or anything that behaves like one.

    Both methods raise `ChatError` for every failure of the endpoint.
    """

    @property
    def model(self) -> str: ...

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        top_logprobs: int = 0,
    ) -> Completion:
        """Return one reply at temperature 0.

        `schema` (JSON schema) and `top_logprobs` are optional to the server: one that does not offer them is
        asked without, and the Completion shows what came.
        """

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> AsyncIterator[str | Completion]:
        """Yield pieces of the text as they come, then the whole Completion."""


def cut_prompt(messages: Sequence[Message], usage: Usage) -> tuple[int, int] | None:
    """The tokens that a server counted in a prompt, and the fewest that it has, where those are far more.

    Servers cut a prompt that is longer than their context without a word (Ollama's default is a few
    thousand tokens). The estimate is below every usual tokenizer's count: six letters a token, two Chinese
    characters a token.
    """
    text = "".join(message.content for message in messages)
    letters = sum(character.isascii() for character in text)
    fewest = letters // 6 + (len(text) - letters) // 2
    if fewest < _NOTICEABLE or not 0 < usage.prompt_tokens < fewest / 2:
        return None
    return usage.prompt_tokens, fewest


def sendable(text: str) -> str:
    """The text without lone surrogates, which JSON cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")
