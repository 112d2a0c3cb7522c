"""Readers for replies of language models: numbers, yes and no, choices. Strict (orders: `permutations.py`).

Every reader returns None for a reply without an answer; none ever guesses one.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from storage.chat import Completion
from storage.reasoning import without_reasoning

# More digits than any number has that means something, and than may become an integer.
_ENDLESS = re.compile(r"\d{400,}")
_ALONE = re.compile(
    r"\s*(?:\\boxed\{\s*)?(-?\d+(?:\.\d+)?)\s*(?:(?:/|out of)\s*(\d+)|分|points?)?\s*\}?\s*[.。]?\s*"
)
_LABELLED = re.compile(
    r"(?:score|rating|relevance|answer|分数|得分|评分|答案)\D{0,12}?(-?\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?",
    re.IGNORECASE,
)
_OWN_LINE = re.compile(r"^[\s*`]*(-?\d+(?:\.\d+)?)\s*(?:/\s*(\d+))?[\s*`.]*$", re.MULTILINE)
_BREAKS = r"[\s.,:;!。，：；！、*`\"'“”]+"
_YES = {"yes", "true", "是", "是的", "相关"}
_EITHER = {"or", "/", "或", "或者", "还是", "and"}
_ANSWER = re.compile(
    r"\A[\s*]*(?:the |my )?(?:final )?(?:answer|verdict|答案|结论)[\s*]*(?:is|是|为|[:=])[\s*:]*", re.I
)
_NO = {"no", "false", "否", "不", "不是", "不相关"}


def plain(reply: str) -> str:
    """The reply without reasoning, with full-width, circled and superscript digits as plain ones.

    A thought that never ends swallows the rest, which holds no answer.
    """
    text = unicodedata.normalize("NFKC", without_reasoning(reply)).strip()
    return _ENDLESS.sub("9" * 20, text)


def settled(completion: Completion) -> str:
    """The text of a reply without its last word, where that may be half of one: "1" may have become "10"."""
    return re.sub(r"[\w.\-]+\Z", "", completion.text.rstrip()) if completion.cut else completion.text


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
    text = _ANSWER.sub("", _only_value(plain(reply)).lower())
    lines = [re.split(_BREAKS, line.strip()) for line in (text.partition("\n")[0], *text.split("\n"))]
    # the first word of all, otherwise a line of its own
    said = [words for words in ([word for word in line if word] for line in lines) if words]
    first = said[:1] + [words for words in said if len(words) == 1]
    sure = [words for words in first if words[1:2] == [] or words[1] not in _EITHER]  # "yes or no" is neither
    verdicts = [1.0 if words[0] in _YES else 0.0 for words in sure if words[0] in _YES | _NO]
    return verdicts[0] if len(set(verdicts)) == 1 else None


def _only_value(text: str) -> str:
    """The text of a JSON object's one value, `{"answer": "yes"}`; any other text as it is."""
    values = [one for one in json_values(text) if isinstance(one, dict)] if "{" in text else []
    if len(values) == 1 and len(values[0]) == 1:
        return str(next(iter(values[0].values())))
    return text


def read_choice(reply: str, labels: Sequence[str]) -> int | None:
    """The position of the only label in the reply; None where it names none or several."""
    text = plain(reply)
    exact = text.strip(" \t\n.。[]()<>\"'“”*`").upper()
    if exact in labels:
        return labels.index(exact)
    # as a word of its own: "Passage A", "[3]", but neither the article "a" nor the 3 of "3.5"
    named = {label for label in labels if re.search(rf"(?<![\w.-]){re.escape(label)}(?![\w-]|\.\d)", text)}
    return labels.index(named.pop()) if len(named) == 1 else None


def json_values(text: str) -> Iterator[object]:
    """The JSON objects and arrays in a text, whatever surrounds them."""
    decoder, at = json.JSONDecoder(), 0
    while (opening := re.compile(r"[\[{]").search(text, at)) is not None:
        try:
            value, at = decoder.raw_decode(text, opening.start())
            yield value
        except ValueError:
            at = opening.start() + 1
        except RecursionError:  # nothing but brackets
            return


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
