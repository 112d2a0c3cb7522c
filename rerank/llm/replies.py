"""Readers for replies of language models: numbers, choices, permutations. Strict, and open about mending.

Every reader returns None for a reply without an answer; none ever guesses one.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from storage.reasons import Reason

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_ALONE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(?:/\s*(\d+))?\s*[.。]?\s*")
_LABELLED = re.compile(
    r"(?:score|rating|relevance|answer|分数|得分|评分|答案)\D{0,12}?(-?\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?",
    re.IGNORECASE,
)
_OWN_LINE = re.compile(r"^[\s*`]*(-?\d+(?:\.\d+)?)\s*(?:/\s*(\d+))?[\s*`.]*$", re.MULTILINE)
_BRACKETED = re.compile(r"\[\s*(-?\d+)\s*\]")
_BARE_LIST = re.compile(r"\s*-?\d+(?:\s*[,>，、;\s]\s*-?\d+)*\s*[.。]?\s*")
_OPEN_LIST = re.compile(r"\[\s*(-?\d+\s*(?:,\s*-?\d+\s*)*)(,\s*)?\Z")
_INTEGER = re.compile(r"-?\d+")

_BREAKS = r"[\s.,:;!。，：；！、*`\"'“”]+"
_YES = {"yes", "true", "是", "是的", "相关"}
_NO = {"no", "false", "否", "不", "不是", "不相关"}


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


def plain(reply: str) -> str:
    """The reply without reasoning, with full-width, circled and superscript digits as plain ones.

    A thought that never ends swallows the rest, which holds no answer.
    """
    without = _THOUGHT.sub("", reply)
    return unicodedata.normalize("NFKC", _THOUGHT_END.sub("", without)).strip()


def read_number(reply: str, top: int) -> float | None:
    """A score from 0 to `top`: alone, on a line of its own, as `8/10`, or after a word such as "score".

    A score out of range counts as none.
    """
    text = plain(reply)
    found = _ALONE.fullmatch(text) or _only(_LABELLED.finditer(text)) or _only(_OWN_LINE.finditer(text))
    if found is None or (found[2] is not None and int(found[2]) != top):
        return None
    value = float(found[1])
    return value if 0 <= value <= top else None


def _only(found: Iterator[re.Match[str]]) -> re.Match[str] | None:
    """The one match, or one of several equal ones."""
    matches = list(found)
    return matches[0] if len({(match[1], match[2]) for match in matches}) == 1 else None


def read_yes_no(reply: str) -> float | None:
    """1 for yes, 0 for no, in English or Chinese."""
    text = plain(reply).lower()
    lines = [re.split(_BREAKS, line.strip()) for line in (text.partition("\n")[0], *text.split("\n"))]
    # the first word of all, otherwise a line of its own
    said = [words for words in ([word for word in line if word] for line in lines) if words]
    first = said[:1] + [words for words in said if len(words) == 1]
    verdicts = [1.0 if words[0] in _YES else 0.0 for words in first if words[0] in _YES | _NO]
    return verdicts[0] if len(set(verdicts)) == 1 else None


def read_choice(reply: str, labels: Sequence[str]) -> int | None:
    """The position of the only label in the reply; None where it names none or several."""
    text = plain(reply)
    exact = text.strip(" \t\n.。[]()<>\"'“”*`").upper()
    if exact in labels:
        return labels.index(exact)
    # as a word of its own: "Passage A", "[3]", but neither the article "a" nor the 3 of "3.5"
    named = {label for label in labels if re.search(rf"(?<![\w.-]){re.escape(label)}(?![\w-]|\.\d)", text)}
    return labels.index(named.pop()) if len(named) == 1 else None


def read_permutation(reply: str, n: int, wanted: int | None = None) -> Permutation | None:
    """An order of the ids 1 to `n`: JSON, `[2] > [1]`, or nothing but numbers. None where no id is valid.

    Of repeated ids the first counts, ids out of range are dropped, missing ones follow in their order.
    Fewer than `wanted` ids (default: all) count as missing.
    """
    ids = _ids(plain(reply))
    if ids is None:
        return None
    valid = [i - 1 for i in ids if 1 <= i <= n]
    unique = list(dict.fromkeys(valid))
    if not unique:
        return None
    rest = [i for i in range(n) if i not in set(unique)]
    missing = max(0, (n if wanted is None else wanted) - len(unique))
    return Permutation((*unique, *rest), len(valid) - len(unique), len(ids) - len(valid), missing)


def _ids(text: str) -> list[int] | None:
    if (listed := _json_ids(text)) is not None:
        return listed
    if cut_off := _OPEN_LIST.search(text):
        numbers = [int(i) for i in _INTEGER.findall(cut_off[1])]
        # without a comma behind it the last number may be cut off too: "1" may have been going to be "12"
        return numbers if cut_off[2] else numbers[:-1]
    if bracketed := _BRACKETED.findall(text):
        return [int(i) for i in bracketed]
    if _BARE_LIST.fullmatch(text):
        return [int(i) for i in _INTEGER.findall(text)]
    return None


def _json_ids(text: str) -> list[int] | None:
    """The longest list of integers in the JSON values of a text."""
    lists = [ids for value in json_values(text) if (ids := _integer_list(value)) is not None]
    lists = [ids for ids in lists if len(ids) > 1] or lists
    # "[2] > [1]" is a row of one-element lists, not JSON
    if len(lists) > 1 and all(len(ids) == 1 for ids in lists):
        return None
    return max(lists, key=len, default=None)


def json_values(text: str) -> Iterator[object]:
    """The JSON objects and arrays in a text, whatever surrounds them."""
    decoder, at = json.JSONDecoder(), 0
    while (opening := re.compile(r"[\[{]").search(text, at)) is not None:
        try:
            value, at = decoder.raw_decode(text, opening.start())
            yield value
        except (json.JSONDecodeError, RecursionError):
            at = opening.start() + 1


def _integer_list(value: object) -> list[int] | None:
    if isinstance(value, dict):
        return next((ids for item in value.values() if (ids := _integer_list(item)) is not None), None)
    if not isinstance(value, list) or not value:
        return None
    numbers = [_integer(item) for item in value]
    return [number for number in numbers if number is not None] if None not in numbers else None


def _integer(item: object) -> int | None:
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    return int(item) if isinstance(item, str) and _INTEGER.fullmatch(item.strip()) else None


def expected_number(first_token: Mapping[str, float], top: int) -> float | None:
    """Expected relevance (Zhuang et al. 2023, arXiv 2310.14122): Σ value · p(label) over the labels' mass.

    None where less than half of the probability lies on labels, or where "1" may be the start of "10".
    """
    mass = _label_mass(first_token, {str(value): float(value) for value in range(top + 1)})
    total = sum(mass.values())
    split_ten = top >= 10 and 10.0 not in mass and mass.get(1.0, 0.0) > 0.05 * total
    if total < 0.5 or split_ten:
        return None
    return sum(value * probability for value, probability in mass.items()) / total


def expected_yes(first_token: Mapping[str, float]) -> float | None:
    """p(yes) / (p(yes) + p(no)), over English and Chinese spellings; None where both are unlikely."""
    labels = {**dict.fromkeys(_YES, 1.0), **dict.fromkeys(_NO, 0.0)}
    mass = _label_mass(first_token, labels)
    total = sum(mass.values())
    return mass.get(1.0, 0.0) / total if total >= 0.5 else None


def _label_mass(first_token: Mapping[str, float], labels: Mapping[str, float]) -> dict[float, float]:
    mass: dict[float, float] = {}
    for token, log_probability in first_token.items():
        value = labels.get(unicodedata.normalize("NFKC", token).strip().lower())
        if value is not None and not math.isnan(log_probability):
            mass[value] = mass.get(value, 0.0) + math.exp(min(log_probability, 0.0))
    return mass
