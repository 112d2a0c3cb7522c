"""Replies of OpenAI-compatible endpoints, whole or in chunks, as one plain record.

The client does not validate what it parses, and servers leave out much: everything here may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_THINK = "<think>"


@dataclass(slots=True)
class Reply:
    """What was read so far. `tokens` are (prompt, completion), None where the server does not say."""

    model: str
    text: str = ""
    refusal: str = ""
    finish_reason: str = ""
    tokens: tuple[int, int] | None = None
    first_token: Mapping[str, float] | None = None

    def add(self, chunk: Any) -> str:
        """Takes up a chunk of a stream; gives back its piece of the text. Raises ValueError."""
        self._usage(chunk)
        choices = getattr(chunk, "choices", None)
        if not choices:  # the last chunk may hold the usage alone
            return ""
        return self._choice(choices[0], getattr(choices[0], "delta", None))

    def _usage(self, reply: Any) -> None:
        usage = getattr(reply, "usage", None)
        if usage is not None:
            self.tokens = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
        self.model = getattr(reply, "model", None) or self.model

    def _choice(self, choice: Any, message: Any) -> str:
        if message is None:
            raise ValueError("it has a choice without a message")
        piece = _content(getattr(message, "content", None))
        self.text += piece
        self.refusal += getattr(message, "refusal", None) or ""
        self.finish_reason = getattr(choice, "finish_reason", None) or self.finish_reason
        return piece


def read(reply: Any, model: str) -> Reply:
    """A whole reply. Raises ValueError where it is none."""
    if isinstance(reply, str):
        raise ValueError(f"it is no JSON: {reply[:80]!r}" if reply.strip() else "it is empty")
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ValueError(_complaint(reply) or "it has no choices")
    result = Reply(model, finish_reason="stop")
    result._usage(reply)
    result._choice(choices[0], getattr(choices[0], "message", None))
    if not result.text.lstrip().startswith(_THINK):  # otherwise the first token belongs to the reasoning
        result.first_token = _first_token(choices[0])
    return result


def _content(content: Any) -> str:
    """The text of a message; some servers send a list of parts, of which only the text is meant."""
    if isinstance(content, str):
        return content
    parts: Iterable[Any] = content if isinstance(content, list) else ()
    texts = (part.get("text") if isinstance(part, dict) else getattr(part, "text", None) for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def _count(usage: Any, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) else 0


def _first_token(choice: Any) -> Mapping[str, float] | None:
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    if not content:
        return None
    found: dict[str, float] = {}
    for entry in (*(getattr(content[0], "top_logprobs", None) or ()), content[0]):
        found.setdefault(entry.token, entry.logprob)
    return found


def _complaint(reply: Any) -> str:
    """Some servers report an error with status 200."""
    error = getattr(reply, "error", None)
    message = error.get("message") if isinstance(error, dict) else error
    return f"it reports an error: {message}" if message else ""
