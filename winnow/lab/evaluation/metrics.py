"""Ranking metrics by trec_eval's definitions (linear gain), computed by ir-measures.

A grade above 0 is relevant to the binary ones. Each question has its own value in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from storage.records import Candidate, Chunk
from winnow.lab.datasets.matching import contains

RANKING_METRICS = ("nDCG@10", "MRR@10", "Recall@50", "hit@5")
CONTAINMENT = "containment@5"
_PASSAGES = 5


def max_p(candidates: Iterable[Candidate], name: Callable[[Chunk], str] | None = None) -> list[str]:
    """The documents of passages, best first: a document ranks where its best passage does.

    `name` gives the name by which judgements know a passage's document; without it that is the document's id.
    """
    return list(dict.fromkeys((name or document_name)(candidate.chunk) for candidate in candidates))


def document_name(chunk: Chunk) -> str:
    """The document's id."""
    return chunk.document_id


def measured(
    grades: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, tuple[float, ...]]:
    """The values of RANKING_METRICS for each ranked question.

    `rankings` are documents, best first. A question without a candidate has 0 everywhere.
    """
    import ir_measures

    wanted = _measures()
    judged = {question: dict(grades.get(question, {})) for question in rankings}
    # trec_eval orders by score and breaks ties itself: distinct scores keep our order
    scored = {
        question: {doc: -float(rank) for rank, doc in enumerate(docs)} for question, docs in rankings.items()
    }
    values: dict[str, dict[Any, float]] = {question: {} for question in rankings}
    for metric in ir_measures.evaluator(list(wanted), judged).iter_calc(scored):
        if metric.query_id in values:
            values[metric.query_id][metric.measure] = float(metric.value)
    return {
        question: tuple(found.get(measure, 0.0) for measure in wanted) for question, found in values.items()
    }


def containment(candidates: Sequence[Candidate], answers: Iterable[str]) -> float:
    """1 where one of the best 5 passages contains a gold answer, otherwise 0."""
    wanted = tuple(answers)
    return float(any(contains(candidate.text, wanted) for candidate in candidates[:_PASSAGES]))


@lru_cache(1)
def _measures() -> tuple[Any, ...]:
    import ir_measures

    return tuple(ir_measures.parse_measure(name) for name in ("nDCG@10", "RR@10", "R@50", "Success@5"))
