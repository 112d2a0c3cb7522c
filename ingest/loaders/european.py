"""Tells the encodings of Europe before Unicode apart: by the letters and signs that words can have."""

from __future__ import annotations

import re
from itertools import pairwise

# Letters of Western European languages, and of Czech, Slovak, Polish, Hungarian, Croatian and Romanian.
_WESTERN = frozenset("äöüßàâæçéèêëîïíìñôœùûúóòáãõåøºª" + "ÄÖÜÀÂÆÇÉÈÊËÎÏÍÑÔŒÙÛÚÓÁÃÕÅØ")
_CENTRAL = frozenset("áäąăâćčçďđéęěëíîĺľłńňóôöőŕřśšşťţúůüűýźžżß" + "ÁÄĄĂÂĆČÇĎĐÉĘĚËÍÎĹĽŁŃŇÓÔÖŐŔŘŚŠŞŤŢÚŮÜŰÝŹŽŻ")
EUROPEAN = ("cp1252", "cp1250", "iso8859_2", "mac_roman", "cp850")
# What no European word has in it: a sign, a capital after a small letter, and graves that only end words.
_ODD_IN_WORDS = re.compile(
    r"[^\W\d_][«»“”„‚©®±§¦¶µ¹³²½¼¾¿¡·•†…‰×°\xa0–—](?=[^\W\d_])|[a-zß-ÿ][ŠŽŸŒÀ-Þ](?=[a-z])|[ìòù][a-zß-ÿ]"
    r"|[©®¦¶](?=[a-z])"
)
_BEYOND_RUN = re.compile(r"[^\W\d_a-zA-Z]{3,}")
_WESTERN_MARKS = frozenset("–—‘’‚“”„…€£§©®°«»¡¿·•†‰²³½¼¾×\xa0")
# Bytes from which on words that are all as they should be leave no doubt.
_PLENTY = 10_000
_ASCII = re.compile("[\x00-\x7f]+")


def european_encodings(data: bytes) -> list[str]:
    """The encodings that read bytes as mostly ASCII letters, and beyond them only letters and typographical
    marks, with the fewest of them where no word has them; of those that read alike only the first."""
    if len(data) > _PLENTY and _odd_in_words(data, EUROPEAN[0]) == 0:
        return [EUROPEAN[0]]
    odd = {name: count for name in EUROPEAN if (count := _odd_in_words(data, name)) is not None}
    least = min(odd.values(), default=0)
    readings = {data.decode(name): name for name in reversed(odd) if odd[name] == least}
    return [name for name in odd if name in readings.values()]


def _odd_in_words(data: bytes, encoding: str) -> int | None:
    try:
        text = data.decode(encoding)
    except UnicodeError:
        return None
    beyond = _ASCII.sub("", text)
    usual = _CENTRAL if encoding in ("cp1250", "iso8859_2") else _WESTERN
    usually = sum(mark in usual for mark in beyond if mark.isalpha())
    odd = len(_ODD_IN_WORDS.findall(text)) + sum(len(run) - 2 for run in _BEYOND_RUN.findall(text))
    odd += sum(a.islower() and b.isupper() and not f"{a}{b}".isascii() for a, b in pairwise(text))
    if (
        len(beyond) > 0.4 * sum(map(str.isalpha, text))
        or not all(mark.isalpha() or mark in _WESTERN_MARKS for mark in beyond)
        or usually < 0.9 * sum(map(str.isalpha, beyond))
        or odd * 5 > len(beyond)
    ):
        return None
    return odd
