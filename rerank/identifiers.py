"""Codes, names and numbers of a question: who types `E4711` wants the passage that holds it.

Neural judges take such words apart and confuse them with their neighbours (`E4712`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_WORD = re.compile(r"[0-9A-Za-z]+(?:[-_./:][0-9A-Za-z]+)*")
# Scripts that put no spaces between words: Chinese characters, kana.
_UNSPACED = re.compile("[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
# A single letter or digit names nothing.
_SHORTEST = 2


def without_spaces(text: str) -> bool:
    """True for a text in a script whose words no spaces part, whatever else is in it."""
    return bool(_UNSPACED.search(text))


def identifiers(question: str) -> list[str]:
    """The words of a question that name one thing: with a digit in them, or Latin in a Chinese question.

    In Unicode's compatibility form and lower case, in the question's order, each once.
    """
    folded = unicodedata.normalize("NFKC", question)
    names = without_spaces(folded)  # a Latin word in another script is a name, whatever it is made of
    words = (word for word in _WORD.findall(folded) if len(word) >= _SHORTEST)
    found = (word.lower() for word in words if names or any(map(str.isdigit, word)))
    return list(dict.fromkeys(found))


def only_holders(question: str, texts: Sequence[str]) -> list[int]:
    """The places of texts that hold an identifier of the question which no other of the texts holds."""
    wanted = identifiers(question)
    if not wanted or len(texts) < 2:
        return []
    folded = [unicodedata.normalize("NFKC", text).lower() for text in texts]
    holders: set[int] = set()
    for word in wanted:
        whole = re.compile(rf"(?<![0-9a-z]){re.escape(word)}(?![0-9a-z])")
        places = [place for place, text in enumerate(folded) if word in text and whole.search(text)]
        if len(places) == 1:
            holders.update(places)
    return sorted(holders)
