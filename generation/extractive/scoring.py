"""Scores sentences for a question by the words that they share with it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from storage.vectors import TermEncoder


def lexical_scores(
    question: frozenset[int], sentences: Sequence[frozenset[int]], known: Sequence[frozenset[int]] = ()
) -> list[float]:
    """The share (0 to 1) of the question's terms that each sentence holds, rare terms weighing more.

    Weights are BM25's inverse document frequencies over the sentences at hand. `known` are terms of the
    question that need not be said again in each sentence, those of its headings: they do not count.
    """
    seen = Counter(term for terms in sentences for term in terms & question)
    weights = {term: _idf(seen[term], len(sentences)) for term in question}
    scores = []
    for at, terms in enumerate(sentences):
        wanted = question - known[at] if known else question
        total = sum(weights[term] for term in wanted)
        scores.append(sum(weights[term] for term in terms & wanted) / total if total else 0.0)
    return scores


# Words that mark a Chinese question, in either script, and say nothing about its subject; longer ones first.
ASKING = re.compile(
    "请问|請問|为什么|為什麼|什么时候|什麼時候|什么|什麼|怎么样|怎麼樣|怎么|怎麼|怎样|怎樣|如何|为何|為何"
    "|哪一年|哪一|哪年|哪些|哪个|哪個|哪里|哪裡|哪位|哪|多少|几个|幾個|几|幾|谁|誰|何时|何時|何地|的|了|是|吗|嗎|呢|在|有"
)


def subject_share(question: str, passages: Sequence[str], terms: TermEncoder) -> float | None:
    """The largest share (0 to 1) of a Chinese question's subject that one passage holds.

    The subject is the terms that are left without the question words. None if only single characters are
    left, as in 猫是什么.
    """
    parts = (part for part in ASKING.split(question) if len(part.strip()) > 1)
    subject = frozenset[int]().union(*map(terms.terms, parts))
    if not subject:
        return None
    return max((len(subject & terms.terms(text)) / len(subject) for text in passages), default=0.0)


def _idf(containing: int, of: int) -> float:
    return math.log(1 + (of - containing + 0.5) / (containing + 0.5))
