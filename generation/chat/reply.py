"""Replies of OpenAI-compatible endpoints, whole or in chunks, as one plain record; reasoning taken out.

The client does not validate what it parses, and servers leave out much: everything here may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_OPEN, _CLOSE = "<think>", "</think>"
_TRACE = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


@dataclass(slots=True)
class Reply:
    """A reply as far as it was read. `tokens` are (prompt, completion), None if the server does not say."""

    model: str
    text: str = ""
    refusal: str = ""
    finish_reason: str = ""
    tokens: tuple[int, int] | None = None
    first_token: Mapping[str, float] | None = None

    def add(self, chunk: Any) -> str:
        """Add a chunk of a stream; return its piece of the text. Raises ValueError."""
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
    """Read a whole reply. Raises ValueError if it is not one."""
    if isinstance(reply, str):
        raise ValueError(f"it is not JSON: {reply[:80]!r}" if reply.strip() else "it is empty")
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ValueError(_complaint(reply) or "it has no choices")
    result = Reply(model, finish_reason="stop")
    result._usage(reply)
    result._choice(choices[0], getattr(choices[0], "message", None))
    if not result.text.lstrip().startswith(_OPEN):  # otherwise the first token belongs to the reasoning
        result.first_token = _first_token(choices[0])
    return result


def _content(content: Any) -> str:
    """The text of a message, or the joined texts of its parts, which some servers send."""
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
    """The message of an error that a server reported with status 200."""
    error = getattr(reply, "error", None)
    message = error.get("message") if isinstance(error, dict) else error
    return f"it reports an error: {message}" if message else ""


def without_reasoning(text: str) -> str:
    """The reply without `<think> … </think>`.

    Some chat templates open the trace in the prompt, so that only its end comes; a reply that was cut off
    may never close it.
    """
    return _TRACE.sub("", text.rsplit(_CLOSE, 1)[-1]).strip()


class ReasoningFilter:
    """Takes reasoning out of a reply that comes in pieces: feed them, get back the text to show."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._started = False

    def feed(self, piece: str) -> str:
        self._held += piece
        shown: list[str] = []
        while True:
            mark = _CLOSE if self._thinking else _OPEN
            before, found, after = self._held.partition(mark)
            if not found:
                break
            if not self._thinking:
                shown.append(before)
            self._held, self._thinking = after, not self._thinking
        kept = _partial(self._held, mark)
        if not self._thinking:
            shown.append(self._held[: len(self._held) - kept])
        self._held = self._held[len(self._held) - kept :]
        return self._begun("".join(shown))

    def rest(self) -> str:
        """The text held back, once the reply has ended."""
        held, self._held = self._held, ""
        return "" if self._thinking else self._begun(held)

    def _begun(self, text: str) -> str:
        """The text without white space before the first word of the reply."""
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text


def _partial(text: str, mark: str) -> int:
    """The length of the longest end of `text` that begins `mark`."""
    return next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if mark.startswith(text[-n:])), 0)
