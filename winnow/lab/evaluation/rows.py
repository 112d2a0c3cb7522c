"""Measuring one row: every question ranked, its documents compared with the judgements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from storage.reasons import TEXT, Reason
from storage.records import Candidate, Chunk, Outcome, Usage
from winnow.lab.datasets.dataset import Dataset, Question
from winnow.lab.evaluation.cached_stages import CachedReranker, CandidateSource
from winnow.lab.evaluation.metrics import CONTAINMENT, RANKING_METRICS, containment, max_p, measured
from winnow.lab.evaluation.results import Times
from winnow.lab.progress import Progress
from winnow.lab.significance import Matrix

# Questions whose candidates are in memory at a time.
_BATCH = 200
_SHOWN = 5
_REASONS = 5


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """One question of a row: its ranked documents, the best passages, and the outcomes."""

    documents: tuple[str, ...]
    shown: tuple[str, ...]
    contained: float
    retrieval: Outcome
    rerank: Outcome


@dataclass(slots=True)
class RowData:
    """A row in memory: figures of every question, and the ids of its best passages (or documents).

    `reasons` of one kind count together, under the text of the first of them, which `worded` keeps.
    """

    retrieve: str
    rerank: str
    values: list[tuple[float, ...]] = field(default_factory=list)
    shown: list[tuple[str, ...]] = field(default_factory=list)
    retrieval_ms: list[float] = field(default_factory=list)
    rerank_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    retrieval_statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    worded: dict[Hashable, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)

    def add(self, one: QuestionResult, values: tuple[float, ...]) -> None:
        self.values.append(values)
        self.shown.append(one.shown)
        self.retrieval_ms.append(one.retrieval.ms)
        self.rerank_ms.append(one.rerank.ms)
        self.statuses[one.rerank.status] += 1
        self.retrieval_statuses[one.retrieval.status] += 1
        for outcome in (one.retrieval, one.rerank):
            if outcome.status != "ok":
                first = self.worded.setdefault(_kind(outcome.reason), outcome.reason)
                self.reasons[first] += 1
        self.usage += one.rerank.usage

    def matrix(self) -> Matrix:
        """Shape (questions, metrics)."""
        return np.array(self.values, dtype=np.float64)

    def commonest_reasons(self) -> dict[str, int]:
        return dict(self.reasons.most_common(_REASONS))

    def times(self) -> tuple[Times | None, Times | None, Times | None]:
        """Both stages together, retrieval, rerank; None where nothing was timed."""
        both = [first + second for first, second in zip(self.retrieval_ms, self.rerank_ms, strict=True)]
        return percentiles(both), percentiles(self.retrieval_ms), percentiles(self.rerank_ms)


def _kind(reason: str) -> Hashable:
    """A reason's code and stage and those of the reasons within it; a text without a code itself."""
    found = Reason.of(reason)
    if found.code == TEXT:
        return str(found)
    within = (value for value in found.values.values() if isinstance(value, Reason))
    return (found.code, found.values.get("stage"), *map(_kind, (*within, *found.values.get("parts", ()))))


def metric_names(dataset: Dataset) -> tuple[str, ...]:
    """The metrics of a set: containment only where there are gold answers."""
    return (*RANKING_METRICS, CONTAINMENT) if dataset.with_answers else RANKING_METRICS


def measure_row(
    data: RowData, dataset: Dataset, measure: Callable[[Question], QuestionResult], progress: Progress
) -> RowData:
    """Measure every question with `measure` and gather the figures in `data`."""
    done, remaining = 0, iter(dataset.questions)
    while batch := list(islice(remaining, _BATCH)):
        results: dict[str, QuestionResult] = {}
        for question in batch:
            results[question.id] = measure(question)
            done += 1
            progress(f"{data.retrieve} → {data.rerank}", done, len(dataset.questions))
        rankings = {name: one.documents for name, one in results.items()}
        for name, values in measured(dataset.qrels.grades, rankings).items():
            contained = (results[name].contained,) if dataset.with_answers else ()
            data.add(results[name], values + contained)
    return data


def ranked_measure(
    source: CandidateSource,
    reranker: CachedReranker,
    name: Callable[[Chunk], str],
    also: Callable[[Question, Sequence[Candidate]], None] | None,
) -> Callable[[Question], QuestionResult]:
    """Measures a question by retrieving, reranking and folding passages into documents.

    `also`, if given, gets the question with its candidates in their final order.
    """

    def measure(question: Question) -> QuestionResult:
        retrieval = source.retrieve(question)
        ranked = reranker.rank(question, source, retrieval)
        if also is not None:
            also(question, ranked.candidates)
        documents = (
            [] if reranker.reranker is None and source.documents(question) else max_p(ranked.candidates, name)
        )
        return QuestionResult(
            # a run's documents without a passage keep their places where nothing was reranked, or come last
            tuple(dict.fromkeys([*documents, *source.documents(question)])),
            tuple(candidate.id for candidate in ranked.candidates[:_SHOWN]),
            containment(ranked.candidates, question.answers),
            retrieval.outcome,
            ranked.outcome,
        )

    return measure


def plain_measure(
    ranked: Mapping[str, tuple[tuple[str, float], ...]], contained: Mapping[str, bool], label: str
) -> Callable[[Question], QuestionResult]:
    """Measures a question of a run; `contained` has those whose best documents hold a gold answer."""

    def measure(question: Question) -> QuestionResult:
        documents = tuple(document for document, _ in ranked.get(question.id, ()))
        found = float(contained.get(question.id, False))
        return QuestionResult(documents, documents[:_SHOWN], found, Outcome("retrieval"), Outcome(label))

    return measure


def percentiles(ms: Sequence[float]) -> Times | None:
    """Median and 95th percentile; None where nothing was timed."""
    if not any(ms):
        return None
    p50, p95 = np.percentile(np.array(ms), [50, 95])
    return Times(float(p50), float(p95))
