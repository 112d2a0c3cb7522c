"""Equations of Office files (OMML) in one line: fractions with /, powers with ^, roots with √."""

from __future__ import annotations

from typing import Any

from lxml import etree

_BRACKETS = (("begChr", "("), ("endChr", ")"), ("sepChr", ", "))


def linear(math: Any) -> str:
    """An equation, or a part of one, as text."""
    kind = etree.QName(math).localname if isinstance(math.tag, str) else ""
    if kind == "t":
        return math.text or ""
    if kind.endswith("Pr"):
        return ""
    part = {etree.QName(child).localname: linear(child) for child in math if isinstance(child.tag, str)}
    if kind == "f":
        return f"{_grouped(part.get('num', ''))}/{_grouped(part.get('den', ''))}"
    if kind in ("sSup", "sSub", "sSubSup"):
        low = f"_{_grouped(part['sub'])}" if "sub" in part else ""
        base = part.get("e", "")
        return (
            (f"({base})" if "/" in base else base)
            + low
            + (f"^{_grouped(part['sup'])}" if "sup" in part else "")
        )
    if kind in ("limLow", "limUpp"):
        return f"{part.get('e', '')}{'_' if kind == 'limLow' else '^'}{_grouped(part.get('lim', ''))}"
    if kind == "func":
        return f" {part.get('fName', '')} {part.get('e', '')}"
    if kind == "rad":
        return f"{part.get('deg', '')}√{_grouped(part.get('e', ''))}"
    if kind == "nary":
        sign = next((c.get(key) for c in math.iter("{*}chr") for key in c.keys()), "∫")  # noqa: SIM118
        low, high = part.get("sub", ""), part.get("sup", "")
        bounds = (f"_{_grouped(low)}" if low else "") + (f"^{_grouped(high)}" if high else "")
        return f"{sign}{bounds} {part.get('e', '')}"
    inner = [linear(child) for child in math if isinstance(child.tag, str)]
    if kind == "d":
        left, right, between = (_sign(math, name, usual) for name, usual in _BRACKETS)
        return f"{left}{between.join(text for text in inner if text)}{right}"
    return ("; " if kind == "m" else ", " if kind == "mr" else "").join(text for text in inner if text)


def _sign(math: Any, name: str, usual: str) -> str:
    """A character that the properties of a pair of brackets name."""
    own = math.find(f"{{*}}dPr/{{*}}{name}")
    return usual if own is None else next(iter(own.values()), "")


def _grouped(text: str) -> str:
    return text if len(text) == 1 or text.isalnum() else f"({text})"
