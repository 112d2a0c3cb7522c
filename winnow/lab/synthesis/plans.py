"""Plans and reports of synthesis (three kinds) and of mining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rerank.llm.budget import Budget
from rerank.training.records import TrainingRecord
from storage.errors import BadInputError
from storage.records import Usage


@dataclass(frozen=True, slots=True)
class Checks:
    """The check for false negatives, passages that do answer.

    `by`: `llm` (the model grades question and passages in one call), `none`, or a rerank spec that scores,
    such as `cross-encoder(model=PATH)`. `margin`: by a spec, a negative scores at least that share of the
    positive's score below it (NV-Retriever: Moreira et al. 2024, arXiv 2407.15831). `round_trip`: a written
    question is kept only if retrieval finds its own passage among that many (Promptagator).
    """

    by: str = "llm"
    margin: float = 0.05
    round_trip: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisPlan:
    """The base of the three plans.

    `out`: the JSONL file; the journal of paid replies is `out` + `.calls.jsonl`. `budget`: for this run.
    `sample`: the number of passages or questions to draw by `seed`, None for all. `model`: a chat model other
    than the configured one.
    """

    out: Path
    budget: Budget = field(default_factory=Budget)
    sample: int | None = None
    seed: int = 0
    model: str | None = None
    collection: str | None = None
    checks: Checks = field(default_factory=Checks)

    def __post_init__(self) -> None:
        _at_least_one(sample=self.sample, round_trip=self.checks.round_trip)
        counts = ("per_passage", "negatives", "depth", "window")  # each plan has some of them
        _at_least_one(**{name: getattr(self, name, None) for name in counts})

    @property
    def journal(self) -> Path:
        return self.out.with_name(f"{self.out.name}.calls.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan(SynthesisPlan):
    """Questions for real passages of a collection, with retrieved passages as negatives.

    InPars (Bonifacio et al. 2022, arXiv 2202.05144) and Promptagator (Dai et al. 2022, arXiv 2209.11755):
    few-shot, by `examples` (records with positives) or winnow's own. `min_letters`: shorter passages are
    skipped.
    """

    per_passage: int = 2
    negatives: int = 4
    min_letters: int = 80
    examples: tuple[TrainingRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagePlan(SynthesisPlan):
    """For each question of a file a passage that answers it, and others that only seem to."""

    questions: Path
    negatives: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPlan(SynthesisPlan):
    """Grades from 0 to 3 for the `depth` passages that retrieval finds, `window` of them a call."""

    questions: Path
    depth: int = 20
    window: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningPlan:
    """The source to mine, and the definition of a negative.

    `source`: a folder of BEIR's layout (its own corpus is searched unless a `collection` is named), or JSONL
    records with positives; None: the judged answers of the log, and with `unjudged` the others, for which
    the passage that `rerank` puts first counts as relevant. Of the candidates, best first and without the
    positives, those from `range_min` (0 is the best) to `range_max` are considered. `relative_margin`:
    a negative scores at least that share below the best positive; None: any score. `max_score`: its highest
    score. Scores come from `rerank`, a spec, if given; otherwise they are cosine similarities, or BM25's
    where the encoder cannot read the question.
    """

    out: Path
    source: Path | None = None
    collection: str | None = None
    split: str | None = None
    negatives: int = 5
    range_min: int = 0
    range_max: int = 50
    relative_margin: float | None = 0.05
    max_score: float | None = None
    rerank: str | None = None
    unjudged: bool = False
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.unjudged and (self.source is not None or self.rerank is None):
            raise BadInputError(
                "unjudged answers are the log's, and a reranker has to say which passage is relevant",
                way_out="Give --log and --rerank SPEC with --unjudged.",
            )
        if self.negatives < 0 or not 0 <= self.range_min < self.range_max:
            raise BadInputError(
                f"negatives={self.negatives} of range {self.range_min} to {self.range_max}: there are none",
                way_out="The range begins at 0 or more and ends behind its beginning.",
            )
        _at_least_one(sample=self.sample)
        if self.relative_margin is not None and not 0 <= self.relative_margin < 1:
            raise BadInputError(f"the relative margin lies from 0 to below 1, and is {self.relative_margin}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisEstimate:
    """An upper estimate of what a run would ask.

    `units` are passages or questions; `paid` of the `calls` are in the journal already. `cost` is None where
    the model has no price in the settings.
    """

    method: str
    model: str
    endpoint: str
    units: int
    calls: int
    paid: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def to_json(self) -> dict[str, Any]:
        return {"dry_run": True, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisReport:
    """The results of a run.

    `kept` records are in the file `out`. `rejected` counts by reason those that are not, `left` the units for
    a later run, and `stopped` says why. `dropped` counts by reason passages that are not negatives. `usage`
    is this run's; its `cached` counts replies that an earlier run paid for. `failed` counts calls without a
    reply.
    """

    method: str
    model: str
    endpoint: str
    out: Path
    units: int
    kept: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    stopped: str = ""
    failed: int = 0
    problems: str = ""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningReport:
    """The results of mining: `records` from `questions`, with that many `negatives`.

    `skipped` counts by reason questions without a record, `dropped` considered passages that are not
    negatives; `short` records have fewer negatives than requested.
    """

    out: Path
    questions: int
    records: int
    negatives: int
    short: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def _at_least_one(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise BadInputError(f"{name} must be at least 1, and is {value}")
