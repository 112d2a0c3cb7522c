"""Which sentence of a passage a claim most likely comes from, where the answerer quoted none.

By shared terms alone: words, and pairs of characters in Chinese, Japanese and Korean. A reader's aid, and
shown as one: it proves nothing.
"""

from __future__ import annotations

import re

from generation.extractive.sentences import sentences

# Below this share of the claim's terms no sentence is likely enough to be pointed at.
ENOUGH = 0.3
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[^\W_{_CJK}]+")
_RUN = re.compile(rf"[{_CJK}]+")
_END = re.compile(r"[.!?]\s|[。！？\n]")


def claim_before(text: str, end: int) -> str:
    """The sentence of an answer that the marker at `end` stands behind."""
    before = text[:end].rstrip()
    ends = [found.end() for found in _END.finditer(before) if found.end() < len(before)]
    return before[ends[-1] :] if ends else before


def likely(claim: str, passage: str) -> tuple[int, int] | None:
    """Where the passage's sentence is that shares most of the claim's terms, the shorter of equals."""
    wanted = _terms(claim)
    spans = sentences(passage)
    if not wanted or not spans:
        return None
    shared = {span: len(wanted & _terms(passage[slice(*span)])) / len(wanted) for span in spans}
    best = max(spans, key=lambda span: (shared[span], span[0] - span[1]))
    return best if shared[best] >= ENOUGH else None


def _terms(text: str) -> set[str]:
    folded = text.casefold()
    pairs = {run[at : at + 2] for run in _RUN.findall(folded) for at in range(max(1, len(run) - 1))}
    return pairs | set(_WORD.findall(folded))
