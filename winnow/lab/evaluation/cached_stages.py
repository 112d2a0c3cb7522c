"""Retrieval and reranking behind an evaluation's cache: a question is searched and ranked once, and timed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from storage.reasons import Reason, storable
from storage.records import Candidate, Outcome, Retrieval, Usage
from winnow.app import portal
from winnow.lab.datasets.dataset import Question
from winnow.lab.datasets.trec import TrecRun
from winnow.lab.evaluation.cache import EvaluationCache

if TYPE_CHECKING:
    from rerank.base import Reranker
    from retrieval.base import Retriever

# Outcomes that count as measured; the others are tried again, as an endpoint may be up by then.
REUSED = ("ok", "repaired")


def question_key(question: Question) -> str:
    """A question's name in the cache: the same id with another text is another question."""
    return hashlib.sha256(f"{question.id}\0{question.text}".encode()).hexdigest()[:24]


@dataclass(slots=True)
class CachedRetriever:
    """Retrieval in one mode. `label` names it in the results, `key` in the cache.

    `forget` drops encoded questions, so that every mode's time includes its own encoding. `remember` keeps
    the passages that are found: those of a collection are not in the cache yet.
    """

    label: str
    key: str
    retriever: Retriever
    cache: EvaluationCache
    top_k: int
    forget: Callable[[], None]
    remember: bool = False

    def retrieve(self, question: Question) -> Retrieval:
        """The candidates, best first, with the outcome and its milliseconds."""
        name = question_key(question)
        kept = self.cache.result(self.key, name)
        if kept is not None:
            return self._restored(kept)
        self.forget()
        found: Retrieval = portal.call(self.retriever.search, question.text, self.top_k)
        if self.remember:
            self.cache.remember([candidate.chunk for candidate in found.candidates])
        outcome = found.outcome
        self.cache.keep(
            self.key,
            name,
            {
                "candidates": [[one.id, one.ranks, one.scores] for one in found.candidates],
                "status": outcome.status,
                "reason": storable(outcome.reason),
                "ms": outcome.ms,
            },
        )
        return found

    def documents(self, question: Question) -> Sequence[str]:  # noqa: ARG002 - as RunCandidates
        """None: retrieval finds passages."""
        return ()

    def _restored(self, kept: dict[str, Any]) -> Retrieval:
        chunks = self.cache.passages(name for name, _, _ in kept["candidates"])
        candidates = (Candidate(chunks[name], ranks, scores) for name, ranks, scores in kept["candidates"])
        outcome = Outcome("retrieval", kept["status"], Reason.from_json(kept["reason"]), ms=kept["ms"])
        return Retrieval(tuple(candidates), outcome)


@dataclass(slots=True)
class RunCandidates:
    """The passages of a run's documents, in the run's order. `label` and `key` as for CachedRetriever."""

    label: str
    key: str
    run: TrecRun
    cache: EvaluationCache
    top_k: int | None = None

    def retrieve(self, question: Question) -> Retrieval:
        """The candidates, best first."""
        passages = (
            (chunk, score)
            for document, score in self._ranked(question)
            for chunk in self.cache.passages_of(document)
        )
        candidates = (
            Candidate(chunk).ranked("retrieval", rank, score)
            for rank, (chunk, score) in enumerate(passages, start=1)
        )
        return Retrieval(tuple(candidates), Outcome("retrieval"))

    def documents(self, question: Question) -> Sequence[str]:
        """The documents of the run, best first."""
        return [document for document, _ in self._ranked(question)]

    def _ranked(self, question: Question) -> Iterable[tuple[str, float]]:
        return self.run.candidates.get(question.id, ())[: self.top_k]


CandidateSource = CachedRetriever | RunCandidates


@dataclass(frozen=True, slots=True)
class RankedCandidates:
    """All candidates of a question in their final order, and the outcome of ranking them."""

    candidates: tuple[Candidate, ...]
    outcome: Outcome


@dataclass(slots=True)
class CachedReranker:
    """A rerank spec; `reranker` None keeps the order.

    `warm` encodes the question beforehand, as retrieval does in an application. `encoding_s` counts the
    seconds spent on encoding passages for the first time, which is part of ingestion. Neither is in the
    outcome's milliseconds.
    """

    label: str
    key: Callable[[str], str]
    reranker: Reranker | None
    cache: EvaluationCache
    warm: Callable[[str], object]
    encoding_s: Callable[[], float]

    def rank(self, question: Question, source: CandidateSource, retrieval: Retrieval) -> RankedCandidates:
        """Rank what a source retrieved, or read the ranking from the cache."""
        if self.reranker is None or not retrieval.candidates:
            return RankedCandidates(retrieval.candidates, Outcome(self.label))
        key, name = self.key(source.key), question_key(question)
        kept = self.cache.result(key, name)
        if kept is not None and kept["outcome"]["status"] in REUSED:
            return _restored(kept, retrieval)
        ranked = self._ranked(self.reranker, question, retrieval)
        self.cache.keep(key, name, _stored(ranked, retrieval))
        return ranked

    def _ranked(self, reranker: Reranker, question: Question, retrieval: Retrieval) -> RankedCandidates:
        self.warm(question.text)
        started, encoded = time.perf_counter(), self.encoding_s()
        ranking = portal.call(reranker.rerank, question.text, retrieval.candidates, len(retrieval.candidates))
        ms = (time.perf_counter() - started - (self.encoding_s() - encoded)) * 1000
        return RankedCandidates(ranking.everything, replace(ranking.outcome, name=self.label, ms=ms))


def _stored(ranked: RankedCandidates, retrieval: Retrieval) -> dict[str, Any]:
    place = {candidate.id: index for index, candidate in enumerate(retrieval.candidates)}
    outcome = {name: value for name, value in asdict(ranked.outcome).items() if name != "exchanges"}
    outcome["reason"] = storable(ranked.outcome.reason)
    return {"order": [place[candidate.id] for candidate in ranked.candidates], "outcome": outcome}


def _restored(kept: dict[str, Any], retrieval: Retrieval) -> RankedCandidates:
    usage, reason = Usage(**kept["outcome"]["usage"]), Reason.from_json(kept["outcome"]["reason"])
    outcome = Outcome(**{**kept["outcome"], "usage": usage, "reason": reason})
    return RankedCandidates(tuple(retrieval.candidates[index] for index in kept["order"]), outcome)
