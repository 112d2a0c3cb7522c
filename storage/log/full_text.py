"""Prepares words for the full-text search of the log, so that Chinese is found as well as English.

SQLite's tokenizer takes a run of Chinese characters for one word, and its trigrams miss words of two
characters. So every run is indexed as its overlapping pairs (bigrams), and searched in the same way.
"""

from __future__ import annotations

import re
import unicodedata

# Han with its extensions, kana and Hangul: scripts that are written without spaces, or searched by part.
_SCRIPTS = (
    "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
)
_RUN = re.compile(f"[{_SCRIPTS}]+")
_PIECE = re.compile(f"[{_SCRIPTS}]+|[^{_SCRIPTS}]+")
_WORD = re.compile(r"[^\W_]")


def indexed(text: str) -> str:
    """Return a text for the index: each Chinese run as its pairs and last character, the rest unchanged."""
    return _RUN.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", _plain(text))


def query(text: str) -> str:
    """Return a query of SQLite's FTS5 for what people typed: all words must occur, in any order.

    A word finds longer ones that begin with it. Empty where there is nothing to look for. Operators of FTS5's
    own language (`AND`, `*`, quotes) mean nothing here.
    """
    return " ".join(_phrase(word) for word in _plain(text).split() if _WORD.search(word))


def _plain(text: str) -> str:
    """Replace full-width letters by plain ones."""
    return unicodedata.normalize("NFKC", text)


def _pairs(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(len(run))]


def _phrase(word: str) -> str:
    *before, last = _PIECE.findall(word)
    tokens = [token for piece in before for token in _tokens(piece)]
    if len(last) == 1 or not _RUN.fullmatch(last):
        return f"{_quoted([*tokens, last])}*"
    return _quoted([*tokens, *_pairs(last)[:-1]])


def _tokens(piece: str) -> list[str]:
    return _pairs(piece) if _RUN.fullmatch(piece) else [piece]


def _quoted(tokens: list[str]) -> str:
    return '"' + " ".join(tokens).replace('"', '""') + '"'
