"""Which of the two languages a question is answered in, and the plain sentences that winnow says itself."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["en", "zh"]

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_LATIN_WORD = re.compile(r"[A-Za-z]+")
# "What does 重排序 mean?" is English about a Chinese word, "BERT 和 T5 有什么区别" the opposite.
_ENGLISH = re.compile(
    r"\b(?:what|who|whom|whose|which|when|where|why|how|is|are|was|were|does|do|did|can|the|of)\b",
    re.IGNORECASE,
)

NO_ANSWER = {
    "en": "The retrieved passages do not answer this question.",
    "zh": "检索到的资料无法回答这个问题。",
}
NO_PASSAGES = {
    "en": "No passages were found for this question.",
    "zh": "没有检索到与这个问题有关的资料。",
}


def language_of(text: str) -> Language:
    """`zh` where Chinese characters carry the text, otherwise `en`."""
    han = len(HAN.findall(text))
    if han == 0 or _KANA.search(text):
        return "en"
    words = _LATIN_WORD.findall(text)
    return "en" if han <= len(words) or (_ENGLISH.search(text) and han < 3 * len(words)) else "zh"


def nothing_found(question: str, *, passages: int) -> str:
    """The plain sentence that stands in for an answer, in the question's language."""
    return (NO_ANSWER if passages else NO_PASSAGES)[language_of(question)]
