"""Orders of passages out of replies: lists, chains, numbered lines, grades, in every usual written form.

An order whose meaning is not plain is none: the model is asked again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank.llm.replies import json_values, plain
from storage.reasons import Reason

Grades = list[tuple[int, float]]

# An id as models write it: 2, [2], (2), #2, Passage 2, [ID: 2], doc_2, 第2段.
_NAMES = (
    r"passages?|documents?|docs?|texts?|items?|ids?|identifier|no\.?|numbers?|index|p|d"
    r"|段落|文档|文章|编号|第"
)
_AROUND = r"[\[\](){}<#*`\"']"
_ID = (
    rf"(?<![A-Za-z0-9_.]){_AROUND}{{0,4}}[ ]?(?:(?:{_NAMES})[ :#_=-]{{0,3}}[\[(]?)?[ ]?(NUMBER)(?!\d|\.\d|%)"
    r"[ ]?(?:段落|段|篇|号|个)?[\])}*`\"']{0,4}(?:>(?=[ ]?(?:[>,\n]|\Z)))?"
)
_BETTER = r">{1,3}=?|≻|≥|→|->|=>|›"
_NEXT = (
    r"[,;、|]|[ ]?,?[ ]?(?:and )?(?:then|followed by|finally|lastly)\b|,?[ ]?\band\b"
    r"|[,;]?(?:其次|然后|最后|再次)是?"
)


def _form(pattern: str, *, ids: str = r"-?\d+", flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern.replace("NUMBER", ids), re.IGNORECASE | flags)


_ALONE = _form(rf"{_ID}[\s.。]*")
# "[3] is the best, followed by [1]", 第3段最相关，其次是第1段
_BEST = r"(?: is (?:the )?(?:best|most relevant)|最(?:相关|好|佳))?"
_LINK = rf"{_BEST}[ ]?(?:{_BETTER}|<{{1,2}}|=|~|≈|{_NEXT})[ \n]?"
_CHAIN = _form(f"{_ID}(?:{_LINK}{_ID})+".replace("(NUMBER)", "NUMBER"))
_STRONG = re.compile(_BETTER)
_NAMED = _form(rf"[\[(#<{{]{{1,3}}(?:(?:{_NAMES})[ :#_=-]{{0,3}})?-?\d|(?:{_NAMES})[ :#_=-]{{0,3}}-?\d")
_NUMBER = re.compile(r"-?\d+")
# A list over lines: its marks, then the id.
_MARK = (
    r"(?:rank\s*\d+|place\s*\d+|\d+(?:st|nd|rd|th)|第\s*[\d一二三四五六七八九十]+\s*名?|\d+\s*[.):、]|[-*•+])"
)
_LINE = _form(rf"^[ *`>]{{0,4}}{_MARK}[ :.)、*|-]{{0,4}}{_ID}(?![\w/])", flags=re.MULTILINE)
_ROW = _form(rf"^[ ]?\|[ *]{{0,3}}\d+[ *]{{0,3}}\|[ ]?{_ID}[ ]?\|", flags=re.MULTILINE)
_RANKED_TABLE = re.compile(r"^\s*\|\s*(?:rank|#|place|position|排名|名次)", re.IGNORECASE | re.MULTILINE)
# A passage and its grade, as in "Passage 2: 9/10".
_GRADE = _form(
    rf"{_ID}[ ]?(?:[:=|–-]|\(|(?=[ ]\d+[ ]?/))[ ]?"
    r"(?:(?:score|relevance|grade|rating|分数|得分|评分)[ :=*]{0,3})?"
    r"(\d+(?:\.\d+)?)(?![\d.]*\d)[ ]?(/[ ]?\d+|%)?"
)
_BARE = re.compile(r"(?:[^\d\n]{0,40}:\s*)?-?\d+(?:\s*[,>、;\s]\s*-?\d+)*\s*[.。]?")
# What may stand around bare numbers.
_DRESS = re.compile(rf"[\[\]{{}}#*`\"']|</?[a-z_]+>|\\boxed|(?:{_NAMES})(?=[ #_=-]{{0,3}}\d)", re.IGNORECASE)
_OPEN_LIST = re.compile(r"\[\s*(-?\d+\s*(?:,\s*-?\d+\s*)*)(,\s*)?\Z")
_ORDERS = ("rank", "order", "permutation", "sorted", "result", "排序", "顺序")
_ID_KEYS = ("id", "passage_id", "passage", "index", "document", "doc", "number", "identifier", "doc_id", "no")
_RANK_KEYS = ("rank", "position", "place")
_SCORE_KEYS = ("score", "relevance", "relevance_score", "grade", "rating", "similarity")


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
    text = plain(reply)
    text = _whole_words(text) if cut else text
    text = re.sub(r"[ \t]+", " ", text.replace("【", "[").replace("】", "]"))
    ids = _ids(re.sub(r" ?\n ?", "\n", text), n)
    if ids is None:
        return None
    if 0 in ids and all(0 <= i < n for i in ids):
        ids = [i + 1 for i in ids]
    valid = [i - 1 for i in ids if 1 <= i <= n]
    unique = list(dict.fromkeys(valid))
    if not unique:
        return None
    rest = [i for i in range(n) if i not in set(unique)]
    missing = max(0, (n if wanted is None else wanted) - len(unique))
    return Permutation((*unique, *rest), len(valid) - len(unique), len(ids) - len(valid), missing)


def _whole_words(text: str) -> str:
    """A reply that was cut off, without its last number; a list in JSON is left to `_ids`."""
    listed = _OPEN_LIST.search(text)
    if listed and "," in listed[0]:
        return text
    return re.sub(r"[\s,;>、\[(]+\Z", "", re.sub(r"-?\d+\s*\Z", "", text))


def _ids(text: str, n: int) -> list[int] | None:
    listed = [found for value in json_values(text) if (found := _of_json(value, n)) is not None]
    many = [found for found in listed if len(found) > 1]
    if many:
        return max(many, key=len)
    if cut_off := _OPEN_LIST.search(text):
        numbers = [int(i) for i in _NUMBER.findall(cut_off[1])]
        # without a comma behind it the last number may be cut off too: "1" may have been going to be "12"
        return numbers if cut_off[2] else numbers[:-1]
    bare = _DRESS.sub(" ", re.sub(r"\((-?\d+)\)", r" \1 ", text)).strip()
    if _BARE.fullmatch(bare):
        return [int(i) for i in _NUMBER.findall(bare.rpartition(":")[2])]
    found = _graded(text, n) or _chained(text) or _lined(text)
    return found or (listed[0] if len(listed) == 1 and text.lstrip("`json \n")[:1] in "[{" else None)


def _chained(text: str) -> list[int] | None:
    """The ids of the longest chain: one with "better than" before one of commas, of equal ones the last."""
    best: list[int] | None = None
    standing = (False, 0)
    for found in _CHAIN.finditer(text):
        strong = bool(_STRONG.search(found[0]))
        whole_line = found[0].strip() == _line_at(text, found.start()).rpartition(":")[2].strip(" .。*`\n")
        if not (strong or whole_line or _is_named(found[0])):
            continue  # numbers in a sentence
        ids = [int(i) for i in _NUMBER.findall(found[0].replace("->", ">"))]
        if not strong and not whole_line and _lacks_one(text, found.start(), ids):
            continue  # its beginning was written in another way
        if (strong, len(ids)) >= standing:
            best, standing = (ids[::-1] if _rises(found[0]) else ids), (strong, len(ids))
    return best


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
    """The ids of a list over lines, in a table with a column of ranks, or one in brackets each."""
    form = _ROW if _RANKED_TABLE.search(text) else _LINE
    found = [int(match[1]) for match in form.finditer(text)]
    return found if len(found) > 1 else None


def _graded(text: str, n: int) -> list[int] | None:
    """The ids of passages that are graded one by one, the best grade first."""
    grades: Grades = []
    scaled = False
    for found in _GRADE.finditer(text):
        grades.append((int(found[1]), float(found[2])))
        scaled = scaled or bool(found[3]) or "." in found[2]
    told = bool(re.search(r"score|relevance|grade|rating|分数|得分|评分", text, re.IGNORECASE))
    return _by_grade(grades, n, sure=scaled or told)


def _by_grade(grades: Grades, n: int, *, sure: bool) -> list[int] | None:
    """The ids from the best grade to the worst; None where the numbers may be ranks instead."""
    if len(grades) < 2 or len({i for i, _ in grades}) < len(grades):
        return None
    values = [value for _, value in grades]
    if not sure and len(set(values)) == len(values) and all(1 <= value <= n for value in values):
        return None
    return [i for i, _ in sorted(grades, key=lambda grade: -grade[1])]


def _of_json(value: object, n: int, key: str = "") -> list[int] | None:
    """The ids that a JSON value puts in an order."""
    if isinstance(value, str):
        return _chained(value) if value.strip() else None
    if isinstance(value, list):
        return _of_list(value, n)
    if not isinstance(value, Mapping):
        return None
    if (graded := _of_grades(value, n, key)) is not None:
        return graded
    keys = sorted(value, key=lambda name: not any(word in str(name).lower() for word in _ORDERS))
    return next((ids for name in keys if (ids := _of_json(value[name], n, str(name))) is not None), None)


def _of_grades(value: Mapping[str, object], n: int, key: str) -> list[int] | None:
    """The ids of `{"1": 9, "2": 3}`: grades, or ranks where the key says so."""
    pairs = [(_integer(name), _number(grade)) for name, grade in value.items()]
    if len(pairs) < 2 or any(i is None or grade is None for i, grade in pairs):
        return None
    grades = [(i, grade) for i, grade in pairs if i is not None and grade is not None]
    if "rank" in key.lower() or "position" in key.lower():
        return [i for i, _ in sorted(grades, key=lambda grade: grade[1])]
    return _by_grade(grades, n, sure="score" in key.lower() or "relevance" in key.lower())


def _of_list(value: Sequence[object], n: int) -> list[int] | None:
    if not value:
        return None
    if all(isinstance(one, Mapping) for one in value):
        return _of_records([one for one in value if isinstance(one, Mapping)])
    if all(isinstance(one, list) and len(one) == 2 for one in value):
        pairs = [(_integer(one[0]), _number(one[1])) for one in value if isinstance(one, list)]
        grades = [(i, grade) for i, grade in pairs if i is not None and grade is not None]
        return _by_grade(grades, n, sure=False) if len(grades) == len(value) else None
    flat = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in value]
    numbers = [_integer(one) for one in flat]
    return [number for number in numbers if number is not None] if None not in numbers else None


def _of_records(records: Sequence[Mapping[str, object]]) -> list[int] | None:
    """The ids of `[{"id": 2, "score": 9}, …]`: by rank, otherwise by score, otherwise as they come."""
    found: list[tuple[float, int]] = []
    for place, record in enumerate(records):
        named = {str(key).lower(): value for key, value in record.items()}
        number = next((i for key in _ID_KEYS if (i := _integer(named.get(key))) is not None), None)
        if number is None:
            return None
        rank = next((one for key in _RANK_KEYS if (one := _number(named.get(key))) is not None), None)
        score = next((one for key in _SCORE_KEYS if (one := _number(named.get(key))) is not None), None)
        found.append((rank if rank is not None else -score if score is not None else float(place), number))
    return [number for _, number in sorted(found, key=lambda pair: pair[0])]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(item: object) -> int | None:
    if isinstance(item, bool):
        return None
    if isinstance(item, int) or (isinstance(item, float) and item.is_integer()):
        return int(item)
    found = _ALONE.fullmatch(item.strip()) if isinstance(item, str) else None
    return int(found[1]) if found else None
