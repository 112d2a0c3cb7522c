"""Reasoning in a model's reply: found and taken out, in every tag that models in use write.

Qwen, DeepSeek, Claude, Magistral, Kimi, Seed, Command, gpt-oss (harmony), MedGemma, and prompted habits.
"""

from __future__ import annotations

import re

_WORDS = (
    r"(?:[a-z]{1,16}[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis"
    r"|(?:inner_?)?monologue|chain_of_thought|cot)"
)
_OPEN = re.compile(
    rf"<{_WORDS}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>|<unused94>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary|thought)(?:<\|message\|>)?",
    re.IGNORECASE,
)
# The end of an analysis in harmony is the message after it, whatever stands between.
_CLOSE = re.compile(
    rf"</{_WORDS}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>|<unused95>|assistantfinal"
    r"|(?:<\|start\|>assistant)?<\|channel\|>final(?:<\|message\|>)?|<channel\|>",
    re.IGNORECASE,
)
# Marks around the answer itself, which are no part of it.
_AROUND = re.compile(
    r"<\|(?:begin_of_solution|end_of_solution|START_RESPONSE|END_RESPONSE|message|return|end|im_end|eot_id)\|>"
)
# No mark is longer; text that may become one is held back while a reply streams.
_LONGEST_MARK = 64
_BEGINS = re.compile(
    r"[<\[◁](?![\s\d])[^>\]▷\s]{0,63}\Z|<\|(?:start|channel)\|>[a-z<>|]{0,40}\Z|assist?a?n?t?f?i?n?a?\Z"
)


def has_reasoning(text: str) -> bool:
    """True where a text begins with a trace, or holds the end of one."""
    return bool(_OPEN.match(text.lstrip()) or _CLOSE.search(text))


def without_reasoning(text: str) -> str:
    """The text after its traces.

    Some chat templates open a trace in the prompt, so that only its end comes; one that never ends
    swallows the rest, which holds no answer.
    """
    ends = list(_CLOSE.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    opened = _OPEN.search(rest)
    return _AROUND.sub("", rest[: opened.start()] if opened else rest).strip()


class ReasoningFilter:
    """Takes reasoning out of a reply that comes in pieces: feed them, get back the text to show."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._started = False

    def feed(self, piece: str) -> str:
        self._held += piece
        shown: list[str] = []
        while found := (_CLOSE if self._thinking else _OPEN).search(self._held):
            if not self._thinking:
                shown.append(self._held[: found.start()])
            self._held, self._thinking = self._held[found.end() :], not self._thinking
        kept = self._undecided()
        if not self._thinking:
            shown.append(self._held[: len(self._held) - kept])
        self._held = self._held[len(self._held) - kept :]
        return self._begun("".join(shown))

    def rest(self) -> str:
        """The text held back, once the reply has ended."""
        held, self._held = self._held, ""
        return "" if self._thinking else self._begun(held)

    def _undecided(self) -> int:
        """How many characters at the end may begin a mark."""
        if self._thinking:
            return min(len(self._held), _LONGEST_MARK)
        found = _BEGINS.search(self._held)
        return len(self._held) - found.start() if found else 0

    def _begun(self, text: str) -> str:
        """The text without marks around it, and without white space before the first word of the reply."""
        text = _AROUND.sub("", text)
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text
