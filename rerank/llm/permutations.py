"""Orders of passages out of replies: lists, chains, numbered lines, grades, in every usual written form.

An order whose meaning is not plain is none: the model is asked again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rerank.llm.json_orders import Grades, by_grade, order_of
from rerank.llm.replies import json_values
from rerank.llm.written import ID, ID_NAMES, form, plainly_written
from storage.reasons import Reason

_BETTER = r">{1,3}=?"
_NEXT = (
    r"[,;、|]|[ ]?,?[ ]?(?:and )?(?:then|followed by|finally|lastly)\b|,?[ ]?\band\b"
    r"|[,;]?(?:其次|然后|最后|再次)是?"
)
# "[3] is the best, followed by [1]", 第3段最相关，其次是第1段
_BEST = r"(?: (?:is |comes |ranks )?(?:the )?(?:best|most relevant|first)|最(?:相关|好|佳)|排第一)?"
_ASIDE = r"(?:[ ]?\([^()\d]{1,60}\))?"  # "[3] (the tide itself) > [1]"
_LINK = rf"{_BEST}{_ASIDE}[ ]?(?:{_BETTER}|<{{1,2}}|=|~|≈|{_NEXT})[ \n]?"
_CHAIN = form(f"{ID}(?:{_LINK}{ID})+".replace("(NUMBER)", "NUMBER"))
_STRONG = re.compile(_BETTER)
_NAMED = form(rf"[\[(#<{{]{{1,3}}(?:(?:{ID_NAMES})[ :#_=-]{{0,3}})?-?\d|(?:{ID_NAMES})[ :#_=-]{{0,3}}-?\d")
_NUMBER = re.compile(r"(?<![\w)\]])-?\d+|\d+")
# A list over lines: its marks, then the id. A mark in brackets needs an id that is marked, too.
_MARK = (
    r"(rank\s*#?\d+|(?:place|top|position)\s*#?\d+|\d+(?:st|nd|rd|th)|第\s*\d+\s*[名位]?|\d+\s*[.):、]"
    rf"|#\s*\d+\s*[:.)-]|[\[(]\d+[\])](?=[ ]?(?:[\[(#]|{ID_NAMES}))|[-–—*•·‣▪●+])"
)
_LINE = form(rf"^[ *`>]{{0,4}}{_MARK}[ :.)、*|-]{{0,4}}{ID}(?![\w/])", flags=re.MULTILINE)
_ROW = form(rf"^[ ]?\|[ ]?{ID}[ ]?\|[ ]?{ID}[ ]?\|", flags=re.MULTILINE)
_RANK = r"[ *]*(?:rank(?:ing)?|#|place|position|order|排名|名次|排序)[ *]*"
_RANKED_TABLE = form(rf"^[ ]?\|(?:({_RANK})|[^|\n]*\|{_RANK})\|", flags=re.MULTILINE)
_FROM_WORST = re.compile(
    r"least\b[^\n:]{0,30}?\bto (?:the )?most|worst to best|(?:least relevant|worst) (?:comes )?first"
    r"|ascending order|从最不.{0,8}到最|[从由]低到高|升序",
    re.IGNORECASE,
)
# A passage and its grade, as in "Passage 2: 9/10".
_GRADE = form(
    rf"{ID}[ ]?(?:[:=|–-]|\(|(?=[ ]\d+[ ]?/)|(?=score|relevance|grade|rating)|(?<=\][ ])(?=[\d.]+[ ]*$))[ ]?"
    r"(?:(?:score|relevance|grade|rating|分数|得分|评分)[ :=*]{0,3})?"
    r"(\d+(?:\.\d+)?)(?![\d.]*\d)[ ]?(/[ ]?\d+|%|分)?",
    flags=re.MULTILINE,
)
_BARE = re.compile(r"(?:[^\d\n]{0,40}:\s*)?-?\d+(?:\s*[,>、;\s]\s*-?\d+)*\s*[.。]?")
# Two numbers alone on a line, as in a table: neither is the next of the other.
_PAIRED = re.compile(
    rf"^\W*(?:(?:{ID_NAMES})[ :#_=-]{{0,3}})?\d+\W+\d+(?:\.\d+)?\W*$", re.MULTILINE | re.IGNORECASE
)
_LEFT_OUT = re.compile(r"(?i)\b(?:not|ir|non|un)[ -]?relevant|不相关|无关")
# What may stand around bare numbers.
_DRESS = re.compile(
    rf"[\[\]{{}}#*`\"']|</?[a-z_]+>|\\boxed|(?:{ID_NAMES})[ #_=-]{{0,3}}(?=\d)", re.IGNORECASE
)
_OPEN_LIST = re.compile(r"\[\s*(-?\d+\s*(?:,\s*-?\d+\s*)*)(,\s*)?\Z")


@dataclass(frozen=True, slots=True)
class Permutation:
    """A complete order of `n` passages, positions from 0; the counts say what had to be mended."""

    order: tuple[int, ...]
    repeated: int = 0
    foreign: int = 0
    missing: int = 0

    @property
    def defects(self) -> Reason | None:
        """The defects of the reply; None for a reply without."""
        defects = [
            *([Reason("rerank.ids-repeated", count=self.repeated)] if self.repeated else []),
            *([Reason("rerank.ids-foreign", count=self.foreign)] if self.foreign else []),
            *([Reason("rerank.ids-missing", count=self.missing)] if self.missing else []),
        ]
        return Reason.all(defects) if defects else None


def read_permutation(
    reply: str, n: int, wanted: int | None = None, *, cut: bool = False
) -> Permutation | None:
    """An order of the ids 1 to `n`, or of 0 to n − 1 where the reply counts from 0. None where it gives none.

    Of repeated ids the first counts, ids out of range are dropped, missing ones follow in their order.
    Fewer than `wanted` ids (default: all) count as missing. The last number of a reply that was `cut` off
    may be half of one, and does not count.
    """
    text = plainly_written(reply)
    wanted = n if wanted is None else min(wanted, n)
    ids = _ids(_whole_words(text) if cut else text, n, wanted)
    if ids is None:
        return None
    if 0 in ids and all(0 <= i < n for i in ids):
        ids = [i + 1 for i in ids]
    valid = [i - 1 for i in ids if 1 <= i <= n]
    unique = list(dict.fromkeys(valid))
    if not unique:
        return None
    rest = [i for i in range(n) if i not in set(unique)]
    missing = max(0, wanted - len(unique))
    return Permutation((*unique, *rest), len(valid) - len(unique), len(ids) - len(valid), missing)


def _whole_words(text: str) -> str:
    """A reply that was cut off, without its last number; a list in JSON is left to `_ids`."""
    listed = _OPEN_LIST.search(text)
    if listed and "," in listed[0]:
        return text
    return re.sub(r"[\s,;>、\[(]+\Z", "", re.sub(r"-?\d+\s*\Z", "", text))


def _ids(text: str, n: int, wanted: int) -> list[int] | None:
    listed = [found for value in json_values(text) if (found := order_of(value, n, _told)) is not None]
    many = [found for found in listed if len(found) > 1]
    if many:
        return max(reversed(many), key=len)  # of equal ones the last, which a model settled on
    if cut_off := _OPEN_LIST.search(text):
        numbers = [int(i) for i in _NUMBER.findall(cut_off[1])]
        # without a comma behind it the last number may be cut off too: "1" may have been going to be "12"
        return numbers if cut_off[2] else numbers[:-1]
    paired = len(_PAIRED.findall(text)) > max(1, n // 2)
    found = _numbered(text) or (None if paired else _bare(text, n))
    if found is None:
        chain, strong = _chained(text, wanted)
        if paired and not strong:
            chain = None
        graded = _graded(text, n)
        if graded and not (strong and chain and len(chain) >= len(graded)):
            return graded
        found = chain or _lined(text)
    if found is None:
        return listed[0] if len(listed) == 1 and text.lstrip("`json \n")[:1] in "[{" else None
    return found[::-1] if _FROM_WORST.search(text) else found


def _told(text: str, n: int) -> list[int] | None:
    """The order in a text within JSON."""
    return _chained(text, n)[0] or _bare(text, n)


def _numbered(text: str) -> list[int] | None:
    """The ids of a text that is nothing but a list whose places are numbered from 1."""
    lines = [line for line in text.split("\n") if line.strip()]
    found = [_LINE.match(line) for line in lines]
    places = [_NUMBER.search(match[1]) if match else None for match in found]
    counted = [int(place[0]) for place in places if place]
    if len(lines) < 2 or counted != list(range(1, len(lines) + 1)):
        return None
    return [int(match[2]) for match in found if match]


def _bare(text: str, n: int) -> list[int] | None:
    """The ids of a text that is nothing but numbers, whatever is around them."""
    bare = _DRESS.sub(" ", re.sub(r"\((-?\d+)\)", r" \1 ", text)).strip()
    if _BARE.fullmatch(bare):
        return [int(i) for i in _NUMBER.findall(bare.rpartition(":")[2])]
    tight = re.findall(r"\d+", bare) if re.fullmatch(r"\d+(?:\s?[-/]\s?\d+){2,}[.。]?", bare) else []
    return [int(i) for i in tight] if len(tight) == n else None


def _chained(text: str, wanted: int) -> tuple[list[int] | None, bool]:
    """The ids of the longest chain: one with "better than" before one of commas, of equal ones the last.

    True with one of the first kind. One of commas in a sentence has to name all that are `wanted`.
    """
    best: list[int] | None = None
    standing = (False, 0)
    for found in _CHAIN.finditer(text):
        strong = bool(_STRONG.search(found[0]))
        whole_line = found[0].strip() == _line_at(text, found.start()).rpartition(":")[2].strip(" .。*`\n")
        if not (strong or whole_line or _is_named(found[0])):
            continue  # numbers in a sentence
        ids = [int(i) for i in _NUMBER.findall(found[0])]
        few = len(set(ids)) < wanted or _lacks_one(text, found.start(), ids)
        told_apart = _LEFT_OUT.search(_line_at(text, found.start()).partition(":")[0])
        if not strong and few and (told_apart or not whole_line):
            continue  # passages are mentioned, or the chain's beginning was written in another way
        if (strong, len(ids)) >= standing:
            best, standing = (ids[::-1] if _rises(found[0]) else ids), (strong, len(ids))
    return best, standing[0]


def _lacks_one(text: str, start: int, ids: Sequence[int]) -> bool:
    """True where an id is named before a chain, in its line, that the chain lacks."""
    before = text[text.rfind("\n", 0, start) + 1 : start].rpartition(":")[2]
    return any(int(found) not in ids for named in _NAMED.findall(before) for found in _NUMBER.findall(named))


def _rises(chain: str) -> bool:
    """True for a chain that begins with the worst: `[1] < [2]`."""
    return "<" in chain and ">" not in re.sub(r"<[^<>]*>", "", chain)


def _is_named(chain: str) -> bool:
    """True where every id is in brackets or has a name before it."""
    return len(_NAMED.findall(chain)) >= len(_NUMBER.findall(chain))


def _line_at(text: str, place: int) -> str:
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    return text[start : end if end >= 0 else len(text)]


def _lined(text: str) -> list[int] | None:
    """The ids of a list over lines, or in a table with a column of ranks, by their numbers there."""
    if table := _RANKED_TABLE.search(text):
        rows = [(int(row[1]), int(row[2])) for row in _ROW.finditer(text)]
        found = [row if table[1] else row[::-1] for row in rows]
    else:
        lines = [(_NUMBER.search(line[1]), int(line[2])) for line in _LINE.finditer(text)]
        found = [(int(place[0]), i) for place, i in lines if place]
        found = found if len(found) > 1 else [(0, i) for _, i in lines]
    if len({place for place, _ in found}) == len(found):
        found.sort()
    return [i for _, i in found] if len(found) > 1 else None


def _graded(text: str, n: int) -> list[int] | None:
    """The ids of passages that are graded one by one, the best grade first."""
    grades: Grades = []
    scaled = False
    for found in _GRADE.finditer(text):
        grades.append((int(found[1]), float(found[2])))
        scaled = scaled or bool(found[3]) or "." in found[2]
    told = bool(re.search(r"score|relevance|grade|rating|分数|得分|评分", text, re.IGNORECASE))
    return by_grade(grades, n, sure=scaled or told)
