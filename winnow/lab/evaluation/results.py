"""The plan of an evaluation, and its results: a row for each way of ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from storage.records import Usage
from winnow.lab.datasets.dataset import Dataset
from winnow.lab.datasets.trec import TrecRun
from winnow.lab.significance import Difference, Interval

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rows to measure: the candidates (`retrieve`, then `runs`) times the specs of `rerank`.

    `runs` are labelled; `collection` takes the place of the set's corpus; `top_k` candidates are retrieved
    (None: as configured; of a run: all). `fresh` measures again what is in the cache. `answers` asks
    the `answerer` (None: the configured one) with the best passages of every row.
    """

    dataset: Dataset
    retrieve: Sequence[str] = ()
    runs: Sequence[tuple[str, TrecRun]] = ()
    rerank: Sequence[str] = ("none",)
    collection: str | None = None
    top_k: int | None = None
    seed: int = 0
    fresh: bool = False
    answers: bool = False
    answerer: str | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds a question: median and 95th percentile."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFigures:
    """Figures about the answers from a row's best passages.

    Shares in [0, 1], None where nothing could be counted, and their 95 % `intervals`. Over the `questions`
    with a gold answer: `answered`, weakly or not; `sure`, answered and no weak match; `containment`, the gold
    answer is in the text; `first`, before the first citation; `exact_match`; `wrong`, sure and without it.
    Over the `unanswerable` cases: `abstention`, right without an answer; `doubted`, without one or a weak
    match. `exactness`: of the answers that quote, those whose text is what they quote.
    `citation_precision`: of all citations, those of a relevant document; `abstention_precision`: of all
    abstentions, the right ones.
    """

    questions: int
    answered: float | None
    sure: float | None
    containment: float | None
    first: float | None
    exact_match: float | None
    wrong: float | None
    exactness: float | None
    citation_precision: float | None
    unanswerable: int
    abstention: float | None
    doubted: float | None
    abstention_precision: float | None
    intervals: Mapping[str, Interval]
    statuses: Mapping[str, int]
    usage: Usage
    times: Times | None


@dataclass(frozen=True, slots=True)
class ContrastPassage:
    """A passage as the report shows it; `relevant` is its document's judgement."""

    document: str
    excerpt: str
    relevant: bool


@dataclass(frozen=True, slots=True)
class Contrast:
    """A question on which a row and the first row differ, with the best passages of both."""

    question: str
    text: str
    answers: tuple[str, ...]
    first: float
    here: float
    first_passages: tuple[ContrastPassage, ...]
    passages: tuple[ContrastPassage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """One way of ranking: candidates from `retrieve`, ordered by `rerank` (both as the caller named them).

    `statuses` counts the outcomes of reranking over the questions, `retrieval_statuses` those of retrieval;
    `reasons` are the commonest reasons, each kind in its first wording. `usage.cost` is None where unknown.
    `differences` against the first row are empty in the first.
    """

    retrieve: str
    rerank: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    differences: Mapping[str, Difference] = field(default_factory=dict)
    wins: int = 0
    losses: int = 0
    statuses: Mapping[str, int]
    retrieval_statuses: Mapping[str, int]
    reasons: Mapping[str, int]
    usage: Usage
    times: Times | None
    retrieval_times: Times | None
    rerank_times: Times | None
    per_question: tuple[float, ...]
    answers: AnswerFigures | None = None
    contrasts: tuple[Contrast, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All rows over one set. `seed` drew sample and bootstrap; `notes` list what was left out."""

    dataset: str
    questions: int
    seed: int
    rows: tuple[EvaluationRow, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """The JSON of `winnow evaluate --json`."""
        return {
            "dataset": self.dataset,
            "questions": self.questions,
            "seed": self.seed,
            "notes": list(self.notes),
            "results": [_row(row) for row in self.rows],
        }


def _row(row: EvaluationRow) -> Json:
    return {
        "retrieve": row.retrieve,
        "rerank": row.rerank,
        "metrics": dict(row.metrics),
        "intervals": {name: [found.low, found.high] for name, found in row.intervals.items()},
        "against_first": {name: _difference(found) for name, found in row.differences.items()} or None,
        "wins": row.wins,
        "losses": row.losses,
        "fallbacks": row.statuses.get("fallback", 0),
        "statuses": dict(row.statuses),
        "retrieval_statuses": dict(row.retrieval_statuses),
        "reasons": dict(row.reasons),
        **_usage(row.usage),
        "ms": {
            "total": _times(row.times),
            "retrieve": _times(row.retrieval_times),
            "rerank": _times(row.rerank_times),
        },
        "answers": None if row.answers is None else _answers(row.answers),
    }


def _difference(found: Difference) -> Json:
    return {"difference": found.mean, "interval": [found.interval.low, found.interval.high], "p": found.p}


def _usage(usage: Usage) -> Json:
    return {
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": cost(usage),
    }


def cost(usage: Usage) -> float | None:
    """The cost of calls: 0 without any, None where it is unknown."""
    return 0.0 if usage.cost is None and usage.calls == 0 else usage.cost


def _times(times: Times | None) -> Json | None:
    return None if times is None else {"p50": round(times.p50, 3), "p95": round(times.p95, 3)}


def _answers(found: AnswerFigures) -> Json:
    figures = {name: value for name, value in asdict(found).items() if name not in ("usage", "times")}
    intervals = {name: [one.low, one.high] for name, one in found.intervals.items()}
    return {**figures, "intervals": intervals, **_usage(found.usage), "ms": _times(found.times)}
