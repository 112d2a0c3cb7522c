"""Detects the language, English or Chinese, in which a question is answered."""

from __future__ import annotations

import re

from storage.reasons import Language

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_LATIN_WORD = re.compile(r"[A-Za-z]+")
# "What does 重排序 mean?" is English about a Chinese word, "BERT 和 T5 有什么区别" the opposite.
_ENGLISH = re.compile(
    r"\b(?:what|who|whom|whose|which|when|where|why|how|is|are|was|were|does|do|did|can|the|of)\b",
    re.IGNORECASE,
)


def language_of(text: str) -> Language:
    """`zh` if Chinese characters carry the text, otherwise `en`."""
    han = len(HAN.findall(text))
    if han == 0 or _KANA.search(text):
        return "en"
    words = _LATIN_WORD.findall(text)
    return "en" if han <= len(words) or (_ENGLISH.search(text) and han < 3 * len(words)) else "zh"
