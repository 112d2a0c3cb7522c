"""Readers for replies of language models: numbers, yes and no, choices. Strict (orders: `permutations.py`).

Every reader returns None for a reply without an answer; none ever guesses one.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from rerank.llm.written import ID_NAMES, in_digits, plain, plainly_written
from storage.chat import Completion

# What wraps a label: TeX, tags, emphasis, brackets, quotation marks.
_WRAPPED = re.compile(r"\\(?:boxed|text(?:bf|rm)?|mathbf|mathrm)\{|[{}$*`#]|</?[a-z_]{1,20}>", re.IGNORECASE)
_OUTER = " \t\n\"'“”‘’「」『』【】《》〈〉[]()<>.。!！,，*•·~≈★☆✓✔✅❌✗✘\ufe0f\u20e3"
_TOP = r"(?:\s*(?:/|out of|of)\s*(\d+))?"
_ALONE = re.compile(rf"(-?\d+(?:\.\d+)?){_TOP}\s*(?:分|points?)?")
# "between 3 and 5", "7-8", "the relevance of passage 3" are no scores.
_LABELLED = re.compile(
    r"(?:score|rating|rate|relevance|grade|answer|分数|得分|评分|答案|相关性|相关度|打|给)"
    r"(?:(?!between|from|passage|document|段|第)\D){0,12}?(-?\d+(?:\.\d+)?)(?!\.?\d)"
    rf"(?!\s*(?:[-–~]|to|or|到|至|或)\s*\d){_TOP}",
    re.IGNORECASE,
)
_OWN_LINE = re.compile(rf"^[ ]*(-?\d+(?:\.\d+)?){_TOP}[ .]*$", re.MULTILINE)
# A score, and after it why.
_FIRST = re.compile(
    r"(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+)(?!\d)|(?=\s*[:：,，。(]|\.?\s+[-–—]\s|\.\s))"
    r"(?!\s*[-–~.,:，：(]*\s*(?:(?:or|to|或|到|至)\s*)?\d)",
)
# "I would rate this passage an 8.", "The relevance of the passage to the question is 8."
_GIVEN = re.compile(
    r"\b(?:rate|give|assign|relevance of|score (?:for|of))\b[^.\n\d]{0,80}?\b(?:an?|as|at|of|is)\s+"
    rf"(-?\d+(?:\.\d+)?)(?!\.?\d){_TOP}(?=\s*[.。]?\s*(?:\n|\Z))",
    re.IGNORECASE,
)
_SECOND_ITEM = re.compile(r"^\s*2\s*[.)、]", re.MULTILINE)
_SENTENCE = re.compile(r"[\n.!?;。！？；]+")
_BREAKS = r"(?:(?![/-])[\W_])+"
_YES = {"yes", "true", "relevant", "y", "是", "是的", "相关", "有关", "能", "可以", "对", "有帮助"}
_EITHER = {"or", "/", "或", "或者", "还是", "and"}
_ANSWER = re.compile(
    r"\A\s*(?:the |my )?(?:final )?(?:answer|verdict|judge?ment|relevant|relevance|答案|结论|回答|判断|结果"
    r"|相关性)\s*(?:is|是|为|[:=])[\s:]*",
    re.IGNORECASE,
)
_NO = {
    "no",
    "false",
    "irrelevant",
    "n",
    "否",
    "不",
    "不是",
    "不相关",
    "无关",
    "不能",
    "不可以",
    "不对",
    "没有帮助",
}
# A verdict as a sentence: "The passage is highly relevant.", 该段落与问题完全不相关
_STATED = re.compile(
    r"\A\s*(?:(?:the |this )?(?:passage|document|text|it)(?: is|'s) |[该这此]?(?:段落|段文字|文档|文章|内容)"
    r"(?:[与和跟](?:该|这个)?(?:问题|查询))?是?)?(?:highly|very|directly|completely|高度|非常|完全|十分|很|直接|毫)?\s*"
    r"((?:ir)?relevant|(?:不相|相|有|无)关)(?: to the (?:question|query))?(?:\s*[.!。！]|\s*\Z)"
)
_FIRST_OF = re.compile(r"[^\w>]*(\w+)[^\w>]*(?:>[^\w>]*\w+[^\w>]*)+")
_VERDICT_KEYS = re.compile(
    r"answer|score|rating|grade|relevan|verdict|label|choice|choose|best|winner|selected|passage|id|result"
    r"|答案|得分|分数|评分|相关|选择|结果",
    re.IGNORECASE,
)
_MARKED = rf"(?:[\[(#]|(?<![A-Za-z])(?i:{ID_NAMES})[ :#_=-]{{0,3}})"
# Words after the label A, which is no article then.
_AFTER_A = (
    "is|was|has|because|since|as|and|or|answers|directly|contains|provides|gives|names|states|more|better"
)


def settled(completion: Completion) -> str:
    """The text of a reply without its last word, where that may be half of one: "1" may have become "10"."""
    return re.sub(r"[\w.\-]+\Z", "", completion.text.rstrip()) if completion.cut else completion.text


def read_number(reply: str, top: int) -> float | None:
    """A score from 0 to `top`: alone, first with a reason after it, on a line of its own, as `8/10`, or after
    a word such as "score". A score out of range counts as none.
    """
    text = _verdict(plain(reply))
    alone = in_digits(re.sub(r"\A\s*[-–]\s+", "", text).strip(_OUTER))
    # a scale that is told is none of its numbers: "Score (0-10): 7"
    text = re.sub(rf"\b[01]\s*(?:[-–~]|to|到|至)\s*{top}\b", "score", text)
    found = _ALONE.fullmatch(alone) or next(
        (one for form in (_LABELLED, _OWN_LINE, _GIVEN) if (one := _only(form.finditer(text)))), None
    )
    if found is None and not _SECOND_ITEM.search(text):
        found = _FIRST.match(text)
    if found is None or (found[2] is not None and int(found[2]) != top):
        return None
    value = float(found[1])
    return value if 0 <= value <= top else None


def _only(found: Iterator[re.Match[str]]) -> re.Match[str] | None:
    """The one match, or one of several equal ones."""
    matches = list(found)
    return matches[0] if len({(match[1], match[2]) for match in matches}) == 1 else None


def read_yes_no(reply: str) -> float | None:
    """1 for yes, 0 for no, in English or Chinese: the first word, or a sentence of its own."""
    text = re.sub(r"\bnot relevant\b", "irrelevant", _verdict(plain(reply)).lower())
    if stated := _STATED.match(text):
        return 1.0 if stated[1] in _YES else 0.0
    if text.strip(_OUTER) in ("0", "1"):
        return float(text.strip(_OUTER))
    sentences = [re.split(_BREAKS, one.strip()) for one in _SENTENCE.split(_ANSWER.sub("", text))]
    said = [words for words in ([word for word in one if word.strip("-")] for one in sentences) if words]
    first = said[:1] + [words for words in said if len(words) == 1]
    sure = [words for words in first if words[1:2] == [] or words[1] not in _EITHER]  # "yes or no" is neither
    verdicts = [1.0 if words[0] in _YES else 0.0 for words in sure if words[0] in _YES | _NO]
    return verdicts[0] if len(set(verdicts)) == 1 else None


def _verdict(text: str) -> str:
    """The verdict of a JSON object, `{"answer": "yes", "why": "…"}`, or the text without what wraps it."""
    objects = [one for one in json_values(text) if isinstance(one, dict)] if "{" in text else []
    if len(objects) == 1:
        [*named] = [value for key, value in objects[0].items() if _VERDICT_KEYS.search(str(key))]
        values = named or list(objects[0].values())
        if len(values) == 1 and isinstance(values[0], str | int | float):
            return str(values[0])
    return _WRAPPED.sub("", text)


def read_choice(reply: str, labels: Sequence[str]) -> int | None:
    """The position of the only label in the reply; None where it names none or several."""
    text = _verdict(plainly_written(reply)).strip()
    for line in (text, text.partition("\n")[0]):
        exact = in_digits(line.strip(_OUTER)).upper()
        if exact in labels:
            return labels.index(exact)
    if (best := _FIRST_OF.fullmatch(text)) and best[1].upper() in labels:
        return labels.index(best[1].upper())
    named = {label for label in labels if re.search(_as_word(label), text)}
    if labels[0].isdigit():  # other numbers may be in a sentence, where the choice is marked
        marked = {label for label in labels if re.search(rf"{_MARKED}{label}(?!\d|\.\d|[A-Za-z])", text)}
        named = marked or (named if set(re.findall(r"\d+", text)) == named else set())
    return labels.index(named.pop()) if len(named) == 1 else None


def _as_word(label: str) -> str:
    """The label as a word of its own: neither the article "a", nor the 3 of "3.5"."""
    article = rf"(?! (?!(?:{_AFTER_A})\b)[a-z])" if label == "A" else ""
    return rf"(?<![A-Za-z0-9.-]){label}(?![A-Za-z0-9_-]|\.\d){article}"


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
