"""Numbers as a spreadsheet shows them, by their format codes (ECMA-376, 18.8.30 and 18.8.31)."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

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
    "12": "# ?/?",
    "13": "# ??/??",
    "37": "#,##0_);(#,##0)",
    "38": "#,##0_);(#,##0)",
    "39": "#,##0.00_);(#,##0.00)",
    "40": "#,##0.00_);(#,##0.00)",
    "41": '_(* #,##0_);_(* (#,##0);_(* "-"_);_(@_)',
    "42": '_($* #,##0_);_($* (#,##0);_($* "-"_);_(@_)',
    "43": '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)',
    "44": '_($* #,##0.00_);_($* (#,##0.00);_($* "-"??_);_(@_)',
    "46": "[h]:mm:ss",
    "48": "##0.0E+0",
    "49": "@",
}
_DATES = frozenset(map(str, (*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59))))
# Excel takes no longer code.
_LONGEST = 255
_QUOTED = re.compile(r'"([^"]*)"|\\(.)|_.|\*.')
_BRACKETED = re.compile(r"\[(?:\$([^-\[\]]*+)[^\[\]]*+|[^\[\]]*+)\]")
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)(-?\d+(?:\.\d+)?)\]")
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_DIGITS = re.compile(r"[#0?][#0?,]*+(?:\.[#0?]*+)?,*+|\.[#0?]++,*+")
_EXPONENT = re.compile(r"E[+-]0+", re.IGNORECASE)
_FRACTION = re.compile(r"(?:[#0?]+\s+)?[#0?]+/(?:([#0?]+)|(\d+))")
# From here on a spreadsheet's numbers have no digits that mean anything.
_HIGHEST = Decimal(10) ** 20
# As many digits as the longest code has places.
_WIDE = Context(prec=_LONGEST + 40)
_FIXED = "\x00"  # in place of a character that is shown as it is


def is_date(code: str) -> bool:
    """True for the code (or built-in number) of a format that shows a date or a time."""
    if code.isdigit() or len(code) > _LONGEST:
        return code in _DATES
    section = _sections(code)[0]
    if _ELAPSED.search(section):
        return True
    letters = _BRACKETED.sub("", _QUOTED.sub("", section)).lower()
    return "general" not in letters and any(letter in letters for letter in "ymdhs")


def elapsed(days: float, code: str) -> str | None:
    """A duration as `[h]:mm:ss` and its like show it, `49:30:00`; None for the code of a date."""
    found = None if len(code) > _LONGEST else _ELAPSED.search(_BUILT_IN.get(code, code))
    if found is None:
        return None
    seconds = round(abs(days) * 86400)
    unit, rest = found[1][0].lower(), _BUILT_IN.get(code, code)[found.end() :].lower()
    parts = {"h": [seconds // 3600, seconds // 60 % 60, seconds % 60], "m": [seconds // 60, seconds % 60]}
    shown = parts.get(unit, [seconds])[: 1 + ("m" in rest and unit == "h") + ("s" in rest)]
    return ("-" if days < 0 else "") + ":".join(
        f"{part:02}" if i else str(part) for i, part in enumerate(shown)
    )


def formatted(value: str, code: str) -> str:
    """A stored number by its format: `0.25` as `25%`, `7` as `00007`, 5550134 as `555-0134`.

    What the format says of colours, widths and alignment leaves no trace in a text.
    """
    try:
        number = Decimal(value)
    except ArithmeticError:
        return value
    if not number.is_finite() or len(code) > _LONGEST:
        return value
    section, own_sign = _section(_BUILT_IN.get(code, code), number)
    plain = _BRACKETED.sub(lambda found: _quoted(found[1] or ""), section)
    shape = _QUOTED.sub(lambda found: _FIXED * len(found[1] or found[2] or ""), plain)
    text = _QUOTED.sub(lambda found: found[1] or found[2] or "", plain)
    if len(shape) != len(text):
        return _general(number)
    sign = "" if own_sign or number >= 0 else "-"
    number = abs(number)
    if "general" in shape.lower():
        at = shape.lower().index("general")
        return f"{sign}{text[:at]}{_general(number)}{text[at + 7 :]}".strip()
    if "@" in shape:
        return f"{sign}{_general(number)}"
    if number >= _HIGHEST:
        return f"{sign}{_general(number)}"
    fraction, runs = _FRACTION.search(shape), list(_DIGITS.finditer(shape))
    if fraction:
        shown, start, end = _fraction(number, fraction), fraction.start(), fraction.end()
    elif not runs:  # fixed text, such as a dash for zero
        return f"{sign}{text}".strip()
    elif exponent := _EXPONENT.search(shape, runs[0].end()):
        shown, start, end = _scientific(number, runs[0][0], exponent[0]), runs[0].start(), exponent.end()
    elif len(runs) > 1 or _parted(shape, runs[0]):
        shown, start, end = _parts(number, shape, text, runs[0].start()), 0, len(text)
    else:
        shown, start, end = (
            _digits(number * 100 ** shape.count("%"), runs[0][0]),
            runs[0].start(),
            runs[0].end(),
        )
    if not shown.strip("0.,"):
        sign = ""
    return f"{sign}{text[:start]}{shown}{text[end:]}".strip() or "0"


def _quoted(text: str) -> str:
    return f'"{text}"' if text else ""


def _sections(code: str) -> list[str]:
    """A code's parts between `;`, which mean nothing within quotes."""
    sections, at, quoted = [""], 0, False
    while at < len(code):
        step = 2 if code[at] == "\\" and not quoted else 1
        quoted ^= code[at] == '"'
        if code[at] == ";" and not quoted:
            sections.append("")
        else:
            sections[-1] += code[at : at + step]
        at += step
    return sections


def _section(code: str, number: Decimal) -> tuple[str, bool]:
    """The part of a code that holds for a number, and whether that part writes the sign itself."""
    sections = _sections(code)
    conditions = [_CONDITION.search(section) for section in sections]
    if any(conditions):
        for section, condition in zip(sections, conditions, strict=True):
            if condition is None or _holds(number, condition[1], Decimal(condition[2])):
                return section, condition is not None and number < 0 and condition[1][0] == "<"
        return "General", False
    if number < 0 and len(sections) > 1:
        return sections[1], True
    if number == 0 and len(sections) > 2:
        return sections[2], True
    return sections[0], False


def _holds(number: Decimal, sign: str, bound: Decimal) -> bool:
    less, more, same = number < bound, number > bound, number == bound
    return {"<": less, ">": more, "=": same, "<=": less or same, ">=": more or same, "<>": not same}[sign]


def _digits(number: Decimal, pattern: str) -> str:
    """A number by one run of `#`, `0`, `?`, with its thousands and its fraction."""
    bare = pattern.rstrip(",")
    whole, _, fraction = bare.partition(".")
    scale = len(pattern) - len(bare) + len(whole) - len(whole.rstrip(","))
    number, whole, places = number / 1000**scale, whole.rstrip(","), len(fraction)
    rounded = (
        number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _WIDE) if number < _HIGHEST else number
    )
    before, _, after = f"{rounded:f}".partition(".")
    optional = len(fraction) - len(fraction.rstrip("#?"))
    kept = after[: places - optional] + after[places - optional :].rstrip("0")
    before = before.lstrip("0").rjust(whole.count("0"), "0")
    if "," in whole:
        before = _grouped(before)
    return f"{before}.{kept}" if kept else before


def _parted(shape: str, run: re.Match[str]) -> bool:
    """True where more places for digits follow after other characters."""
    return bool(re.search("[#0?]", shape[run.end() :]))


def _parts(number: Decimal, shape: str, text: str, start: int) -> str:
    """Digits from the right into the places of a code with characters between them: `000-0000`."""
    digits = list(str(int(number.quantize(Decimal(1), ROUND_HALF_UP))))
    shown: list[str] = []
    for at in range(len(shape) - 1, -1, -1):
        if shape[at] not in "#0?":
            shown.append("" if shape[at] == "," else text[at])
        elif digits:
            shown.append("".join(digits) if at == start else digits.pop())
        elif shape[at] == "0":
            shown.append("0")
    return "".join(reversed(shown)).strip()


def _scientific(number: Decimal, pattern: str, exponent: str) -> str:
    """A number with a power of ten, a multiple of as many places as stand before the point: `12.3E+3`."""
    places = max(1, len(re.sub("[^#0?]", "", pattern.partition(".")[0])))
    power = number.adjusted() // places * places if number else 0
    shown = _digits(number.scaleb(-power), pattern)
    sign = "-" if power < 0 else "+" if "+" in exponent else ""
    return f"{shown}E{sign}{abs(power):0{len(exponent) - 2}}"


def _fraction(number: Decimal, pattern: re.Match[str]) -> str:
    """A number as `2 1/2`, with no larger denominator than the code has places for."""
    whole, rest = divmod(number, 1)
    bottom = int(pattern[2]) if pattern[2] else 0
    part = Fraction(rest).limit_denominator(10 ** len(pattern[1] or "9") - 1)
    top, bottom = (round(Fraction(rest) * bottom), bottom) if bottom else (part.numerator, part.denominator)
    if " " not in pattern[0]:
        return f"{int(whole) * bottom + top}/{bottom}"
    if top == bottom:
        whole, top = whole + 1, 0
    return f"{int(whole)} {top}/{bottom}" if top and whole else f"{top}/{bottom}" if top else f"{int(whole)}"


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
