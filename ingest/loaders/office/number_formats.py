"""Numbers as a spreadsheet shows them, by their format codes (ECMA-376, 18.8.30 and 18.8.31)."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

# Built-in formats that a file names by number only.
_BUILT_IN = {
    "0": "General",
    "1": "0",
    "2": "0.00",
    "3": "#,##0",
    "4": "#,##0.00",
    "9": "0%",
    "10": "0.00%",
    "11": "0.00E+00",
    "37": "#,##0",
    "38": "#,##0",
    "39": "#,##0.00",
    "40": "#,##0.00",
    "48": "##0.0E+0",
    "49": "@",
}
_DATES = frozenset(map(str, (*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59))))
# Excel takes no longer code.
_LONGEST = 255
_QUOTED = re.compile(r'"([^"]*)"|\\(.)|_.|\*.')
_BRACKETED = re.compile(r"\[(?:\$([^-\[\]]*+)[^\[\]]*+|[^\[\]]*+)\]")
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_DIGITS = re.compile(r"(?<!,)(?:,*+[#0?])++(?:\.[#0?]*+)?")


def is_date(code: str) -> bool:
    """True for the code (or built-in number) of a format that shows a date or a time."""
    if code.isdigit() or len(code) > _LONGEST:
        return code in _DATES
    section = _section(code, 0)
    if _ELAPSED.search(section):
        return True
    letters = _BRACKETED.sub("", _QUOTED.sub("", section)).lower()
    return "general" not in letters and any(letter in letters for letter in "ymdhs")


def formatted(value: str, code: str) -> str:
    """A stored number by its format: `0.25` as `25%`, `7` as `00007`. What the format says beyond digits,
    percent, thousands and fixed text (fractions, conditions) leaves the number as it is stored."""
    try:
        number = Decimal(value)
    except ArithmeticError:
        return value
    if not number.is_finite() or len(code) > _LONGEST:
        return value
    code = _BUILT_IN.get(code, code)
    section = _section(code, 1 if number < 0 else 0)
    own_sign = number < 0 and code.count(";") > 0 and section != _section(code, 0)
    plain = _BRACKETED.sub(lambda found: found[1] or "", section)
    shape = _QUOTED.sub(lambda found: "\x00" * len(found[1] or found[2] or ""), plain)
    text = _QUOTED.sub(lambda found: found[1] or found[2] or "", plain)
    digits = _DIGITS.search(shape)
    odd = digits is None or re.search(r"[#0?]", shape[digits.end() :]) or re.search("[/E@]", shape)
    if odd or digits is None or len(shape) != len(text):
        return _general(number)
    pattern = digits[0]
    percent = shape.count("%")
    shown = _digits(abs(number) * 100**percent, pattern)
    if pattern.endswith(",") or "General" in shape:
        return _general(number)
    sign = "-" if number < 0 and not own_sign and shown.strip("0.,") else ""
    return f"{sign}{text[: digits.start()]}{shown}{text[digits.end() :]}".strip()


def _section(code: str, index: int) -> str:
    sections = code.split(";")
    return sections[index] if index < len(sections) and sections[index] else sections[0]


def _digits(number: Decimal, pattern: str) -> str:
    whole, _, fraction = pattern.partition(".")
    places = len(fraction)
    rounded = (
        number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) if number < Decimal(10) ** 20 else number
    )
    before, _, after = f"{rounded:f}".partition(".")
    optional = len(fraction) - len(fraction.rstrip("#"))
    kept = after[: places - optional] + after[places - optional :].rstrip("0")
    before = before.lstrip("0").rjust(whole.count("0"), "0")
    if "," in whole:
        before = _grouped(before)
    return f"{before or ('0' if not kept else '')}.{kept}" if kept else before or "0"


def _grouped(digits: str) -> str:
    head = len(digits) % 3
    parts = ([digits[:head]] if head else []) + [digits[i : i + 3] for i in range(head, len(digits), 3)]
    return ",".join(parts)


def _general(number: Decimal) -> str:
    """As Excel shows a number without a format: up to fifteen digits that mean something."""
    text = f"{float(number):.15g}"
    return (
        str(int(float(text)))
        if re.fullmatch(r"-?\d(?:\.\d+)?e\+\d\d", text) and abs(number) < 10**21
        else text
    )
