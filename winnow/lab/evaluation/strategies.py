"""A rerank spec over cached rankings: each question is ranked once, whole, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from rerank.base import Reranker
from storage.records import Candidate, Outcome, Retrieval, Usage
from winnow.app import portal
from winnow.lab.datasets.dataset import Question
from winnow.lab.evaluation.cache import EvaluationCache
from winnow.lab.evaluation.sources import question_key

# What did not go as asked is asked again by the next run: an endpoint may be up by then.
_REUSED = ("ok", "repaired")


@dataclass(frozen=True, slots=True)
class Ranked:
    """All candidates of a question in their final order, and how ranking them went."""

    candidates: tuple[Candidate, ...]
    outcome: Outcome


@dataclass(slots=True)
class Strategy:
    """One spec. `reranker` None keeps the order.

    `warm` encodes the question beforehand, which retrieval has done in an application; `encoding_s` counts
    the seconds in which passages were encoded for the first time, which is ingestion's work. Neither is
    in the outcome's milliseconds.
    """

    label: str
    key: Callable[[str], str]
    reranker: Reranker | None
    cache: EvaluationCache
    warm: Callable[[str], object]
    encoding_s: Callable[[], float]

    def rank(self, question: Question, source: str, retrieval: Retrieval) -> Ranked:
        """The candidates of a source (by its key), ranked; from the cache where they have been before."""
        if self.reranker is None or not retrieval.candidates:
            return Ranked(retrieval.candidates, Outcome(self.label))
        key, name = self.key(source), question_key(question)
        kept = self.cache.result(key, name)
        if kept is not None and kept["outcome"]["status"] in _REUSED:
            return _restored(kept, retrieval)
        ranked = self._ranked(self.reranker, question, retrieval)
        self.cache.keep(key, name, _stored(ranked, retrieval))
        return ranked

    def _ranked(self, reranker: Reranker, question: Question, retrieval: Retrieval) -> Ranked:
        self.warm(question.text)
        started, encoded = time.perf_counter(), self.encoding_s()
        ranking = portal.call(reranker.rerank, question.text, retrieval.candidates, len(retrieval.candidates))
        ms = (time.perf_counter() - started - (self.encoding_s() - encoded)) * 1000
        return Ranked(ranking.everything, replace(ranking.outcome, name=self.label, ms=ms))


def _stored(ranked: Ranked, retrieval: Retrieval) -> dict[str, Any]:
    place = {candidate.id: index for index, candidate in enumerate(retrieval.candidates)}
    outcome = {name: value for name, value in asdict(ranked.outcome).items() if name != "exchanges"}
    return {"order": [place[candidate.id] for candidate in ranked.candidates], "outcome": outcome}


def _restored(kept: dict[str, Any], retrieval: Retrieval) -> Ranked:
    found = kept["outcome"]
    outcome = Outcome(**{**found, "usage": Usage(**found["usage"])})
    return Ranked(tuple(retrieval.candidates[index] for index in kept["order"]), outcome)
