"""Shows quoted units: the source, character for character, but for white space and emphasis in pairs.

Emphasis is what CommonMark's rules pair outside of code; `**` or `_` that belong to an expression, a pointer
or a name (`a*b*c`, `void **p`, `__init__`) stay. Code keeps its lines, in a fence.
"""

from __future__ import annotations

import re
from functools import lru_cache
from textwrap import dedent
from typing import TYPE_CHECKING

from generation.extractive.units import Kind
from generation.language import HAN

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_BREAK = re.compile(r"[^\S\n]*\n(?:[^\S\n]*>)*\s*")
_LETTER = re.compile(r"[0-9A-Za-z_]")
_NAME = re.compile(r"[\x21-\x7e]*")
_CODE = re.compile(r"(?<!`)(`+)(?!`)[^\n]+?(?<!`)\1(?!`)|\u2e2e")
# takes the place of a code span while emphasis is looked for: punctuation, as the backtick is
_PLACE = "\u2e2e"
_CJK = re.compile(rf"({HAN.pattern}|[，。！？；：、）」』”])\x00(?={HAN.pattern}|[（「『“])")
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_COLUMN = re.compile(r"; (?=[^:：;\n]{1,60}: )")


def shown(text: str, kind: Kind = "prose") -> str:
    """A unit as a reader sees it: prose in one line; lists, tables, records and code in theirs."""
    if kind == "code":
        return _code(text)
    if kind == "record":
        return _COLUMN.sub(";\n", " ".join(text.split()))
    if kind in ("row", "list"):
        return "\n".join(_line(line, kind) for line in text.split("\n") if line.strip())
    return plain(text)


def is_block(kind: Kind) -> bool:
    """True for what is shown in lines of its own."""
    return kind != "prose"


def plain(sentence: str) -> str:
    """A sentence in one line, without emphasis in pairs."""
    line = _CJK.sub(r"\1", _BREAK.sub("\x00", sentence)).replace("\x00", " ")
    return " ".join(without_emphasis(line).split())


def _line(line: str, kind: Kind) -> str:
    own = line.rstrip() if kind == "list" else line.strip()
    indent = len(own) - len(own.lstrip())
    return own[:indent] + without_emphasis(own[indent:])


def _code(text: str) -> str:
    fence = _FENCE.search(text)
    if fence is None:
        mark = "````" if "```" in text else "```"
        return f"{mark}\n{dedent(text)}\n{mark}"
    before = plain(text[: fence.start()])
    return f"{before}\n{text[fence.start() :]}" if before else text


def without_emphasis(text: str) -> str:
    """The text without the `*` and `_` that emphasise."""
    if "*" not in text and "_" not in text:
        return text
    codes = [code[0] for code in _CODE.finditer(text)]
    parts: list[str] = []
    pairs: list[tuple[int, int]] = []
    opened: list[int] = []
    for token in _inline().parseInline(_CODE.sub(_PLACE, text))[0].children or ():
        if token.type in ("strong_open", "em_open"):
            opened.append(len(parts))
        elif token.type in ("strong_close", "em_close"):
            pairs.append((opened.pop(), len(parts)))
        parts.append(token.content if token.type == "text" else token.markup)
    gone = {at for pair in pairs if _emphasises(parts, pair) for at in pair}
    left = "".join(part for at, part in enumerate(parts) if at not in gone)
    return re.sub(_PLACE, lambda _: codes.pop(0), left)


def _emphasises(parts: list[str], pair: tuple[int, int]) -> bool:
    """False for marks that belong to a name or an expression."""
    first, last = pair
    around = "".join(parts[:first])[-1:] + "".join(parts[last + 1 :])[:1]
    inner = "".join(parts[first + 1 : last])
    is_name = parts[first].startswith("_") and _NAME.fullmatch(inner) is not None
    return not is_name and _LETTER.search(around) is None


@lru_cache(maxsize=1)
def _inline() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("zero").enable(["emphasis", "escape"]).disable(["text_join", "fragments_join"], True)
