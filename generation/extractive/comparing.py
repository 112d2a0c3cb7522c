"""Tells units that say the same from those that say it with another name or number.

Two copies of a text that differ in what they state ("opened in 1937", "opened in 1973") share nearly all
words: who takes them for a repetition hides the one thing that a reader must know.
"""

from __future__ import annotations

from difflib import SequenceMatcher

from generation.extractive.judging import Found
from generation.extractive.statements import Lexeme, lexemes

# Two units that share this much of their terms say the same thing, unless they state different things;
# from so much on, they are two versions of one sentence.
SAME, VERSION = 0.75, 0.6
# in Chinese a name is at least this long, and a word that merely differs is usually shorter
_HAN_NAME = 2


def repeats(one: Found, other: Found) -> bool:
    """True if a unit adds nothing to another one."""
    if one.passage == other.passage and one.span[0] < other.span[1] and other.span[0] < one.span[1]:
        return True
    if one.shown in other.shown or other.shown in one.shown:
        return True
    return _shared(one, other) >= SAME and not contradicts(one, other)


def contradicts(one: Found, other: Found) -> bool:
    """True if units of two passages are the same sentence, but for a name or number on either side."""
    return one.passage != other.passage and _shared(one, other) >= VERSION and _differ(one.shown, other.shown)


def _shared(one: Found, other: Found) -> float:
    either = len(one.terms | other.terms)
    return len(one.terms & other.terms) / either if either else 0.0


def _differ(one: str, other: str) -> bool:
    mine, theirs = lexemes(one), lexemes(other)
    keys = [lexeme.key for lexeme in mine], [lexeme.key for lexeme in theirs]
    matched = SequenceMatcher(None, *keys, autojunk=False)
    return any(
        step == "replace" and _contradict(mine[begin:end], theirs[at:to])
        for step, begin, end, at, to in matched.get_opcodes()
    )


def _contradict(mine: list[Lexeme], theirs: list[Lexeme]) -> bool:
    """True for a number against another one, or a name against another one."""
    if "".join(lexeme.key for lexeme in mine) == "".join(lexeme.key for lexeme in theirs):
        return False  # only their spaces and hyphens differ
    both = (mine, theirs)
    return all(any(lexeme.kind == "number" for lexeme in one) for one in both) or all(map(_names, both))


def _names(some: list[Lexeme]) -> bool:
    han = [lexeme.kind for lexeme in some if lexeme.kind in ("han", "pointer")]
    return any(lexeme.kind == "name" for lexeme in some) or (len(han) >= _HAN_NAME and "pointer" not in han)
