"""The numbers that Word writes before headings and list items, which no run of text holds."""

from __future__ import annotations

import re
from typing import Any

from docx.oxml.ns import qn

_DIGITS = "〇一二三四五六七八九"
_ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"))
_SMALL_ROMAN = ((10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))


class Numbering:
    """Counts the numbered paragraphs of a document in their order."""

    def __init__(self, part: Any) -> None:
        self._lists: dict[str, tuple[str, dict[int, Any]]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        root = next(
            (
                relation.target_part.element
                for relation in part.rels.values()
                if not relation.is_external and relation.reltype.endswith("/numbering")
            ),
            None,
        )
        if root is None:
            return
        abstract = {item.get(qn("w:abstractNumId")): item for item in root.iterfind(qn("w:abstractNum"))}
        for item in root.iterfind(qn("w:num")):
            named = item.find(qn("w:abstractNumId"))
            base = None if named is None else abstract.get(named.get(qn("w:val")))
            if base is None:
                continue
            levels = {int(level.get(qn("w:ilvl"), "0")): level for level in base.iterfind(qn("w:lvl"))}
            own = list(item.iterfind(qn("w:lvlOverride")))
            for override in own:
                if (level := override.find(qn("w:lvl"))) is not None:
                    levels[int(override.get(qn("w:ilvl"), "0"))] = level
            # lists of one definition count on; one that starts again counts by itself
            shared = f"num {item.get(qn('w:numId'))}" if own else base.get(qn("w:abstractNumId"), "")
            self._lists[item.get(qn("w:numId"), "")] = (shared, levels)

    def label(self, paragraph: Any, style: Any) -> str:
        """The number or sign of a paragraph; `-` for a bullet, empty where it has none."""
        found = _numbering(paragraph.find(qn("w:pPr")))
        base = style
        while found is None and base is not None:
            found = _numbering(base.element.find(qn("w:pPr")))
            base = base.base_style
        if found is None or found[0] not in self._lists:
            return ""
        shared, levels = self._lists[found[0]]
        if found[1] not in levels:
            return ""
        counts = self._counts.setdefault(shared, {})
        level = found[1]
        counts[level] = counts.get(level, _start(levels[level]) - 1) + 1
        for deeper in [other for other in counts if other > level]:
            del counts[deeper]
        return _label(levels, counts, level)


def _numbering(properties: Any) -> tuple[str, int] | None:
    numbering = None if properties is None else properties.find(qn("w:numPr"))
    if numbering is None:
        return None
    named, level = numbering.find(qn("w:numId")), numbering.find(qn("w:ilvl"))
    if named is None:
        return None
    return named.get(qn("w:val"), "0"), 0 if level is None else int(level.get(qn("w:val"), "0"))


def _label(levels: dict[int, Any], counts: dict[int, int], level: int) -> str:
    kind, text = _value(levels[level], "w:numFmt", "decimal"), _value(levels[level], "w:lvlText", "")
    if kind == "bullet":
        return "-"
    if kind == "none" or not text:
        return ""
    legal = levels[level].find(qn("w:isLgl")) is not None

    def counted(place: re.Match[str]) -> str:
        at = int(place[1]) - 1
        if at not in levels:
            return ""
        number = counts.get(at, _start(levels[at]))
        return written(number, "decimal" if legal else _value(levels[at], "w:numFmt", "decimal"))

    return re.sub(r"%([1-9])", counted, text).strip()


def _start(level: Any) -> int:
    return int(_value(level, "w:start", "1"))


def _value(level: Any, name: str, default: str) -> str:
    element = level.find(qn(name))
    return default if element is None else str(element.get(qn("w:val"), default))


def written(number: int, kind: str) -> str:
    """A number from 1 on in a format of Word's: letters, Roman or Chinese numerals, or digits."""
    if kind.startswith(("lowerLetter", "upperLetter")):
        letter = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letter.upper() if kind.startswith("upper") else letter
    if kind.endswith("Roman"):
        roman = _roman(number)
        return roman.lower() if kind.startswith("lower") else roman
    if kind == "decimalZero":
        return f"{number:02}"
    if kind.startswith(("chinese", "ideographDigital", "japaneseCounting", "taiwaneseCounting")):
        return _chinese(number)
    if kind == "decimalEnclosedCircleChinese" and 0 < number <= 20:
        return chr(0x2460 + number - 1)
    return str(number)


def _roman(number: int) -> str:
    text = ""
    for value, sign in (*_ROMAN, *_SMALL_ROMAN):
        text += sign * (number // value)
        number %= value
    return text


def _chinese(number: int) -> str:
    if number >= 1000:
        return "".join(_DIGITS[int(digit)] for digit in str(number))
    hundreds, rest = divmod(number, 100)
    tens, ones = divmod(rest, 10)
    text = f"{_DIGITS[hundreds]}百" if hundreds else ""
    if tens:
        text += ("" if tens == 1 and not hundreds else _DIGITS[tens]) + "十"
    elif hundreds and ones:
        text += "零"
    return text + (_DIGITS[ones] if ones or not text else "")
