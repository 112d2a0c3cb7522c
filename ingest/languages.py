"""Tells the language of a document by its script and its most frequent small words."""

from __future__ import annotations

import re
from collections import Counter

_SAMPLE = 2000
_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "ko": re.compile("[\uac00-\ud7a3]"),
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    "ru": re.compile("[\u0400-\u04ff]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
    "hi": re.compile("[\u0900-\u097f]"),
}
_BEYOND_LATIN = re.compile("[\u0370-\u1fff\u2e80-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]")
# Small words that the other languages here do not have in common use.
_WORDS = {
    "en": "the of and to is that for with are this it be as on by from which have not was or if can you",
    "de": "der die das und ist nicht mit den ein eine für auf dem von zu sich werden auch oder wird bei im",
    "fr": "le les des et est une dans pour pas sur du qui que au par avec ce sont plus ne se aux il",
    "es": "el los las una por con para es del se lo como más pero sus este son al está y",
    "it": "il di che è per un con non della sono gli una del nel si alla anche dei più questo",
    "pt": "os uma não com para em que do da dos das é ao pelo mais como foi são sua ou",
    "nl": "het een van en niet op voor met zijn dat wordt deze aan ook door er bij naar te",
}
_OF_WORD: dict[str, list[str]] = {}
for _language, _listed in _WORDS.items():
    for _word in _listed.split():
        _OF_WORD.setdefault(_word, []).append(_language)
_LATIN = re.compile(r"[a-zà-öø-ÿ]+")
# A language is named where its words are this many, and this many more than those of any other.
_LEAST, _LEAST_SHARE, _AHEAD = 2, 0.06, 1.3


def language_of(text: str) -> str | None:
    """The language of a text as ISO 639-1 names it, or None where nothing is sure.

    English, Chinese, Japanese, Korean, German, French, Spanish, Italian, Portuguese, Dutch; Russian, Arabic,
    Hebrew, Greek, Thai and Hindi stand for their scripts.
    """
    middle = max(0, len(text) // 2 - _SAMPLE // 2)
    sample = text if len(text) <= 2 * _SAMPLE else text[:_SAMPLE] + " " + text[middle : middle + _SAMPLE]
    words = _LATIN.findall(sample.lower())
    if not _BEYOND_LATIN.search(sample):
        return _latin(words)
    counts = {language: len(script.findall(sample)) for language, script in _SCRIPTS.items()}
    if counts["ja"] * 10 > counts["zh"]:
        counts["ja"] += counts["zh"]
        counts["zh"] = 0
    language, most = max(counts.items(), key=lambda pair: pair[1])
    # a word of a script without spaces is about two characters
    if most and most / (2 if language in ("zh", "ja", "th") else 5) >= len(words) / 2:
        return language
    return _latin(words)


def _latin(words: list[str]) -> str | None:
    found = Counter(language for word in words for language in _OF_WORD.get(word, ()))
    ranked = [*found.most_common(2), ("", 0), ("", 0)][:2]
    (language, first), (_, second) = ranked
    sure = first >= _LEAST and first >= _LEAST_SHARE * len(words) and first >= _AHEAD * second
    return language if sure else None
