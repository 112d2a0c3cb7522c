"""Reasoning traces that models write into their reply: `<think> … </think>`, taken out."""

from __future__ import annotations

import re

_OPEN, _CLOSE = "<think>", "</think>"
_TRACE = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


def without_reasoning(text: str) -> str:
    """The reply alone.

    Some chat templates open the trace in the prompt, so that only its end comes; a reply that was cut off
    may never close it.
    """
    return _TRACE.sub("", text.rsplit(_CLOSE, 1)[-1]).strip()


class ReasoningFilter:
    """The same for a reply that comes in pieces: feed them, get back what may be shown."""

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
        """What was held back, once the reply has ended."""
        held, self._held = self._held, ""
        return "" if self._thinking else self._begun(held)

    def _begun(self, text: str) -> str:
        """White space before the first word is not shown."""
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text


def _partial(text: str, mark: str) -> int:
    """The length of the longest end of `text` that begins `mark`."""
    return next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if mark.startswith(text[-n:])), 0)
