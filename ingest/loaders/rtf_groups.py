"""Rewrites RTF so that a reader of plain words finds what is elsewhere in its groups.

Notes, boxes and comments follow the paragraph that they hang on, heads and feet of pages stand at the end;
deleted and hidden text goes; raised digits become characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ingest.loaders.text import superscript

_TOKEN = re.compile(r"\\'[0-9a-fA-F]{2}|\\([a-z]{1,32})(-?\d{1,10})? ?|\\.|[{}]|[^\\{}]+", re.DOTALL)
# Groups that striprtf leaves out: they hang on a paragraph, or are at the edges of every page.
_HANGING = ("footnote", "annotation", "shptxt")
_MARGINS = ("header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf")
# A bar within a cell, each of which striprtf ends with one.
BAR = "\ue07c"


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a group; `moved`: its text goes elsewhere."""

    hidden: bool = False
    raised: bool = False
    in_cell: bool = False
    moved: str = ""


@dataclass(slots=True)
class _Rewriting:
    out: list[str] = field(default_factory=list)
    hanging: list[str] = field(default_factory=list)
    margins: list[str] = field(default_factory=list)
    notes: int = 0
    hidden: int = 0

    def begin(self, word: str, out: list[str]) -> list[str]:
        """Leave a mark in place of a group that is moved, and return where its text is collected."""
        while out and out[-1].strip() in ("{", "\\*"):
            out.pop()
        if out and out[-1][0] == "\\" and out[-1][-1].isalnum():
            out.append(" ")  # or what follows would be read as a part of the control word
        if word != "footnote":
            return ["{\\par [" if word == "annotation" else "{\\par "]
        self.notes += 1
        out.append(f"[^{self.notes}]")
        return [f"{{\\par [^{self.notes}]: "]

    def end(self, state: _State, moved: list[str]) -> None:
        text = "".join(moved) + ("]\\par}" if state.moved == "annotation" else "\\par}")
        (self.margins if state.moved in _MARGINS else self.hanging).append(text)

    def text(self) -> str:
        """All of it: what is left over comes before the last brace."""
        text = "".join(self.out)
        end = text.rfind("}")
        rest = "".join((*self.hanging, *dict.fromkeys(self.margins)))
        return f"{text[:end]}{rest}{text[end:]}" if end >= 0 else text + rest


def rewritten(raw: str) -> tuple[str, int]:
    """The RTF of a file, whose bytes are characters, and how many pieces of hidden text it lost."""
    result = _Rewriting()
    state, out = _State(), result.out
    stack: list[tuple[_State, list[str]]] = []
    at = 0
    while found := _TOKEN.match(raw, at):
        token, word, number, at = found[0], found[1] or "", found[2], found.end()
        if token == "{":
            stack.append((state, out))
            state = replace(state, moved="") if state.moved else state
            out.append(token)
        elif token == "}":
            moved, (around, outer) = out, stack.pop() if stack else (state, out)
            if state.moved:
                result.end(state, moved)
            else:
                out.append(token)
            state, out = around, outer
        elif word == "bin" and number:
            at += max(0, int(number))
        elif word in _HANGING or word in _MARGINS:
            out, state = result.begin(word, out), _State(moved=word)
        elif word:
            state = _changed(state, word, number)
            out.append(" " if word in ("par", "line") and state.in_cell else token)
            if word == "par" and out is result.out:
                out.extend(result.hanging)
                result.hanging.clear()
        elif state.hidden and token.strip():
            result.hidden += 1
        else:
            out.append(superscript(token) if state.raised else token.replace("|", BAR))
    return result.text(), result.hidden


def _changed(state: _State, word: str, number: str | None) -> _State:
    """The state after a control word; `0` ends what the word began."""
    match word:
        case "v" | "deleted":
            return replace(state, hidden=number != "0")
        case "super":
            return replace(state, raised=number != "0")
        case "nosupersub" | "sub":
            return replace(state, raised=False)
        case "plain":
            return replace(state, hidden=False, raised=False)
        case "pard":
            return replace(state, in_cell=False)
        case "intbl":
            return replace(state, in_cell=True)
    return state
