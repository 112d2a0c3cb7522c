"""Orders out of JSON: lists, records with ranks or scores, places and grades by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from rerank.llm.written import ID, PLACES, form

Grades = list[tuple[int, float]]
# Reads the order that a text tells.
Told = Callable[[str, int], list[int] | None]

_ALONE = form(rf"{ID}[\s.。]*")
_ORDERS = ("rank", "order", "permutation", "sorted", "result", "排序", "顺序", "排名")
# Names of fields, in lower case and without marks between words.
_ID = re.compile(
    r"(?:passage|document|doc|chunk|item|text|source|p)?(?:id|index|idx|no|num|number|identifier)"
    r"|passage|document|doc|编号|段落"
)
_RANKS = ("rank", "position", "place", "排名", "名次")
_SCORES = ("score", "relevance", "relevancescore", "grade", "rating", "similarity", "分数", "得分", "评分")
_NAMES_SCORES = re.compile(
    r"(?i)(?:(?!\w*(?:by|rank|order|sort))\w+_)?(?:scores?|grades?|ratings?)|分数|得分|评分"
)
_PLACE = re.compile(
    r"(?:rank|place|position|top)[ _#-]*(\d{1,4})|(\d{1,4})(?:st|nd|rd|th)|第(\d{1,4})名?"
    rf"|({'|'.join(PLACES)})"
)


def order_of(value: object, n: int, told: Told, key: str = "") -> list[int] | None:
    """The ids that a JSON value, found under `key`, puts in an order; `told` reads its texts."""
    if isinstance(value, str):
        return told(value, n)
    if isinstance(value, list):
        scores = _NAMES_SCORES.fullmatch(key) and not any(isinstance(one, list | dict) for one in value)
        return _of_scores(value, n) if scores else _of_list(value, n)
    if not isinstance(value, Mapping):
        return None
    if (found := _of_places(value) or _of_numbers(value, n, key)) is not None:
        return found
    keys = sorted(value, key=lambda name: not any(word in str(name).lower() for word in _ORDERS))
    return next(
        (ids for name in keys if (ids := order_of(value[name], n, told, str(name))) is not None), None
    )


def by_grade(grades: Grades, n: int, *, sure: bool) -> list[int] | None:
    """The ids from the best grade to the worst; None where the numbers may be ranks instead.

    Where ids that are out of turn have numbers in turn, both mean the same or one is plain.
    """
    ids, values = [i for i, _ in grades], [value for _, value in grades]
    if len(ids) < 2 or len(set(ids)) < len(ids):
        return None
    if not sure and len(set(values)) == len(values) and all(1 <= value <= n for value in values):
        in_turn = values == sorted(values) == list(range(1, len(values) + 1))
        return ids if ids != sorted(ids) and (in_turn or values == sorted(values, reverse=True)) else None
    return [i for i, _ in sorted(grades, key=lambda grade: -grade[1])]


def _of_places(value: Mapping[str, object]) -> list[int] | None:
    """The ids of `{"first": 3, "second": 1}` or `{"rank_1": "[3]", …}`."""
    found: dict[int, int] = {}
    for name, one in value.items():
        match, number = _PLACE.fullmatch(name.strip().lower()), _integer(one)
        if match and number is not None:
            place = next(group for group in match.groups() if group)
            found[int(place) if place.isdigit() else PLACES.index(place) + 1] = number
    return [found[place] for place in sorted(found)] if len(found) > 1 else None


def _of_numbers(value: Mapping[str, object], n: int, key: str) -> list[int] | None:
    """The ids of `{"1": 9, "2": 3}`: passages with grades or ranks, or places with marked passages."""
    names, ids = [_integer(name) for name in value], [_integer(one) for one in value.values()]
    if len(names) < 2 or None in names:
        return None
    if any(isinstance(one, str) and not one.strip().isdigit() for one in value.values()):
        placed = [
            (place, i) for place, i in zip(names, ids, strict=True) if place is not None and i is not None
        ]
        return [i for _, i in sorted(placed)] if len(placed) == len(names) else None
    grades = [
        (i, grade)
        for i, one in zip(names, value.values(), strict=True)
        if i is not None and (grade := _number(one)) is not None
    ]
    if len(grades) < len(names):
        return None
    if not any(word in key.lower() for word in _RANKS):
        return by_grade(grades, n, sure=any(word in key.lower() for word in _SCORES))
    ranked = [i for i, _ in sorted(grades, key=lambda grade: grade[1])]
    told = any(not name.strip().isdigit() for name in value) or key.lower() in (
        "ranks",
        "positions",
        "places",
    )
    # {"ranking": {"1": 3, …}}: passages by rank, or ranks by passage
    return ranked if told or ranked == [i for _, i in sorted(zip(names, ids, strict=True))] else None


def _of_list(value: Sequence[object], n: int) -> list[int] | None:
    if not value:
        return None
    if all(isinstance(one, Mapping) for one in value):
        return _of_records([one for one in value if isinstance(one, Mapping)])
    if all(isinstance(one, list) and len(one) == 2 for one in value):
        pairs = [(_integer(one[0]), _number(one[1])) for one in value if isinstance(one, list)]
        grades = [(i, grade) for i, grade in pairs if i is not None and grade is not None]
        return by_grade(grades, n, sure=False) if len(grades) == len(value) else None
    flat = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in value]
    numbers = [_integer(one) for one in flat]
    return [number for number in numbers if number is not None] if None not in numbers else None


def _of_scores(values: Sequence[object], n: int) -> list[int] | None:
    """The ids of passages by a list of their scores, one for each."""
    scores = [score for one in values if (score := _number(one)) is not None]
    complete = len(scores) == len(values) == n
    return by_grade(list(enumerate(scores, start=1)), n, sure=True) if complete else None


def _of_records(records: Sequence[Mapping[str, object]]) -> list[int] | None:
    """The ids of `[{"id": 2, "score": 9}, …]`: by rank, otherwise by score, otherwise as they come."""
    found: list[tuple[float, int]] = []
    for turn, record in enumerate(records):
        fields = {re.sub(r"[ _-]", "", str(key).lower()): value for key, value in record.items()}
        number = next(
            (i for key, one in fields.items() if _ID.fullmatch(key) and (i := _integer(one)) is not None),
            None,
        )
        if number is None:
            return None
        rank = next((one for key in _RANKS if (one := _number(fields.get(key))) is not None), None)
        score = next((one for key in _SCORES if (one := _number(fields.get(key))) is not None), None)
        found.append((rank if rank is not None else -score if score is not None else float(turn), number))
    return [number for _, number in sorted(found, key=lambda pair: pair[0])]


def _number(value: object) -> float | None:
    """A number, also as a text; no NaN, which has no place in an order."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,6}(?:\.\d{1,20})?\s*", value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return float(value) if abs(value) < 1e300 else None


def _integer(item: object) -> int | None:
    if isinstance(item, bool):
        return None
    if isinstance(item, int) or (isinstance(item, float) and item.is_integer()):
        return int(item)
    found = _ALONE.fullmatch(item.strip()) if isinstance(item, str) else None
    return int(found[1]) if found else None
