"""The messages and replies of a chat model, shared by rerank strategies and answerers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from storage.records import Usage

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat model's reply; reasoning traces have been removed from `text`.

    `first_token` maps the candidates for the first token of the reply to their log-probabilities, where the
    server gives them; otherwise it is None. `finish_reason` is the server's word: `length` means cut off.
    `refusal` holds a structured refusal, otherwise it is empty.
    """

    text: str
    usage: Usage
    model: str
    finish_reason: str = "stop"
    first_token: Mapping[str, float] | None = None
    refusal: str = ""
    ms: float = 0.0


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
