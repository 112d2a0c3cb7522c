"""Reasoning in a model's reply: found and taken out, in every tag that models in use write.

Qwen, DeepSeek, Claude, Magistral, Kimi, Seed, Command, gpt-oss (harmony), MedGemma, and prompted habits.
"""

from __future__ import annotations

import re

_WORDS = (
    r"(?:(?:[a-z]{1,16}[:_]|ant)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratch_?pad|analysis"
    r"|(?:inner_?|internal_?)?monologue|chain[_-]of[_-]thought|cot)(?:_?(?:content|process|trace|steps?|block))?"
    r"|(?:思考|推理)(?:过程|内容)?|思维链)"
)
# A part of a page that folds: the form in which chat interfaces keep a trace, and hand it on.
_SUMMARY = r"<summary>[^<>]{0,30}(?:think|thought|reason|思考|推理)[^<>]{0,60}</summary>"
_FOLDED = (
    r"<details\s[^<>]{0,60}\btype=[\"']?(?:reason|think)[^<>]{0,100}>"
    rf"|<details(?:\s[^<>]{{0,100}})?>\s{{0,4}}{_SUMMARY}"
)
_OPEN = (
    rf"[<＜]{_WORDS}(?:\s[^<>]{{0,60}})?[>＞]|\[(?:THINK(?:ING)?|REASONING)\]|◁think▷|<unused94>"
    rf"|<[|｜](?!end)(?:(?:begin|start)[_▁]of[_▁]|START_)?{_WORDS}(?:_(?:start|begin))?[|｜]>"
    r"|(?:<\|start\|>assistant)?<\|channel\|?>(?:analysis|commentary|thought)(?:<\|message\|>)?"
)
# The end of an analysis in harmony is the message after it, whatever is between.
_CLOSE = (
    rf"[<＜]/\s?{_WORDS}(?:\s[^<>]{{0,60}})?[>＞]|\[/(?:THINK(?:ING)?|REASONING)\]|◁/think▷|<unused95>|assistantfinal"
    rf"|<[|｜](?:(?:/|end[_▁]of[_▁]|END_){_WORDS}|{_WORDS}_end)[|｜]>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>final(?:<\|message\|>)?|<channel\|>"
)
_MARK = re.compile(
    rf"(?P<open>{_OPEN}|(?P<fold>{_FOLDED}))|(?P<close>{_CLOSE})|(?P<unfold></details>)", re.IGNORECASE
)
# Marks around the answer itself, which are no part of it; tags only where they begin it.
_AROUND = re.compile(
    r"<\|(?:begin_of_solution|end_of_solution|START_RESPONSE|END_RESPONSE|message|return|end|im_end|eot_id)\|>"
)
_WRAPPER = r"(?:final_)?answer|output|response|final|solution"
_WRAPPED = re.compile(rf"\s*<(?:{_WRAPPER})>", re.IGNORECASE)
_UNWRAPPED = re.compile(rf"</(?:{_WRAPPER})>", re.IGNORECASE)
# No mark is longer; text that may become one is held back while a reply streams.
_LONGEST_MARK = 250
_BEGINS = re.compile(
    rf"[<＜\[◁](?![\s\d])[^>＞\]▷\s]{{0,63}}\Z|[<＜]/?\s?{_WORDS}\s[^<>]{{0,60}}\Z"
    r"|[<＜]/\s?[a-z]{0,20}\Z|<details(?:\s[^<>]{0,160}|[^<>]{0,160}>\s{0,4}(?:<[a-z]{0,7}|<summary>[^<>]{0,96}(?:</?[a-z]{0,7})?)?)\Z"
    r"|<\|(?:start|channel)\|?>[a-z<>|]{0,40}\Z|assist?a?n?t?f?i?n?a?\Z",
    re.IGNORECASE,
)


def has_reasoning(text: str) -> bool:
    """True where a text begins with a trace, or holds the end of one."""
    marks = (mark for mark in _MARK.finditer(text) if not mark["unfold"])
    return any(mark["close"] or not text[: mark.start()].strip() for mark in marks)


def without_reasoning(text: str) -> str:
    """The text without its traces.

    Some chat templates open a trace in the prompt, so that only its end comes; one that never ends
    swallows the rest, which holds no answer.
    """
    reasoning = ReasoningFilter()
    return (reasoning.feed(text) + reasoning.rest()).strip()


class ReasoningFilter:
    """Takes reasoning out of a reply that comes in pieces: feed them, get back the text to show.

    `unopened` says that the end of a trace came which had not begun: what was shown before it was none of the
    answer. With `opened` such an end is waited for.
    """

    def __init__(self, *, opened: bool = False) -> None:
        self.unopened = False
        self._opened = opened
        self._before: list[str] = []
        self._held = ""
        self._thinking = self._folded = False
        self._started = False
        self._wrapped = False

    def feed(self, piece: str) -> str:
        text, shown, at = self._held + piece, list[str](), 0
        for mark in _MARK.finditer(text):
            if mark["unfold"] and not self._folded:
                continue
            if mark["close"] and not self._thinking:
                shown, self.unopened, self._opened = [], True, False
                self._before = []
            elif mark["open"] and not self._thinking:
                shown.append(text[at : mark.start()])
            elif mark["open"]:
                continue
            self._thinking, self._folded = bool(mark["open"]), bool(mark["fold"])
            at = mark.end()
        kept = self._undecided(text[at:])
        if not self._thinking:
            shown.append(text[at : len(text) - kept])
        self._held = text[len(text) - kept :]
        if self._opened:
            self._before += shown
            return ""
        return self._begun("".join(shown))

    def rest(self) -> str:
        """The text held back, once the reply has ended."""
        held, self._held = "".join(self._before) + ("" if self._thinking else self._held), ""
        return self._begun(held)

    def _undecided(self, text: str) -> int:
        """Count the characters at the end of a text that may begin a mark."""
        if self._thinking:
            return min(len(text), _LONGEST_MARK)
        found = _BEGINS.search(text, max(0, len(text) - _LONGEST_MARK))
        return len(text) - found.start() if found else 0

    def _begun(self, text: str) -> str:
        """The text without marks around it, and without white space before the first word of the reply."""
        text = _AROUND.sub("", text)
        if not self._started:
            wrapper = _WRAPPED.match(text)
            self._wrapped = self._wrapped or wrapper is not None
            text = (text[wrapper.end() :] if wrapper else text).lstrip()
            self._started = bool(text)
        return _UNWRAPPED.sub("", text) if self._wrapped else text
