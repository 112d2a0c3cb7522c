"""A document's summary in one line: the first sentence in it.

It is chosen without a model, which a parser's process does not have. A document's opening is a strong
baseline among summaries that only quote (LEAD, in Nallapati et al. 2017, "SummaRuNNer").
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Whoever has not begun with a sentence by here (a table, a list of names) has no summary.
_READ = 20_000
_PARAGRAPH = re.compile(r"\n\s*\n")
# Marks of what is no prose: headings, lists, tables, quotations, code, notes.
_NO_PROSE = re.compile(r"\s*(?:[#|>*+`~=\-]|\d+[.)、]\s|\[\^|!\[|<)")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]{2,}")
_ENDS = re.compile(r"[.!。！][\"'”’」』)）\]]*\Z")
_ADDRESS = re.compile(r"://|www\.|@\w|\bdoi\b", re.IGNORECASE)
_FEWEST_WORDS, _FEWEST_HAN, _LETTERS = 8, 14, 0.6


def summary_of(text: str) -> str:
    """The first sentence of a text, in one line; empty where none is found near its beginning."""
    return next(_sentences(text[:_READ]), "")


def _sentences(text: str) -> Iterator[str]:
    from sentencex import segment

    for paragraph in _PARAGRAPH.split(text):
        if _NO_PROSE.match(paragraph):
            continue
        language = "zh" if _HAN.search(paragraph) else "en"
        for sentence in segment(language, " ".join(paragraph.split())):
            if _is_sentence(sentence := sentence.strip()):
                yield sentence


def _is_sentence(text: str) -> bool:
    """True for what has enough words, ends, and is no address or row of figures."""
    if not _ENDS.search(text) or _ADDRESS.search(text):
        return False
    letters, characters = len(_LETTER.findall(text)), len(text.replace(" ", ""))
    long = len(_HAN.findall(text)) >= _FEWEST_HAN or len(_WORD.findall(text)) >= _FEWEST_WORDS
    return long and letters >= _LETTERS * characters
