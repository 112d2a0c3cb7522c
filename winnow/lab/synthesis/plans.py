"""What to synthesize: three ways, what each needs, and what may be spent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rerank.llm.budget import Budget
from rerank.training.records import TrainingRecord
from storage.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Checks:
    """How false negatives, passages that do answer, are found.

    `by`: `llm` (the model grades question and passages in one call), `none`, or a rerank spec that scores,
    such as `cross-encoder(model=PATH)`. `margin`: by a spec, a negative scores at least that share of the
    positive's score below it (NV-Retriever: Moreira et al. 2024, arXiv 2407.15831). `round_trip`: a written
    question is kept only where retrieval finds its own passage among so many (Promptagator).
    """

    by: str = "llm"
    margin: float = 0.05
    round_trip: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisPlan:
    """What all three ways share.

    `out`: the JSONL file; a journal of paid replies, `out` + `.calls.jsonl`, lies beside it. `budget`: for
    this run. `sample`: of passages or questions only so many, drawn by `seed`. `model`: another chat model
    than the settings'.
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

    @property
    def journal(self) -> Path:
        return self.out.with_name(f"{self.out.name}.calls.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan(SynthesisPlan):
    """Questions for real passages of a collection, with retrieved passages as negatives.

    InPars (Bonifacio et al. 2022, arXiv 2202.05144) and Promptagator (Dai et al. 2022, arXiv 2209.11755):
    few-shot, by `examples` (records with positives) or winnow's own. `min_letters`: shorter passages are not
    asked about.
    """

    per_passage: int = 2
    negatives: int = 4
    min_letters: int = 80
    examples: tuple[TrainingRecord, ...] = ()

    def __post_init__(self) -> None:
        SynthesisPlan.__post_init__(self)
        _at_least_one(per_passage=self.per_passage, negatives=self.negatives)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagePlan(SynthesisPlan):
    """For each question of a file a passage that answers it, and others that only look as if they did."""

    questions: Path
    negatives: int = 4

    def __post_init__(self) -> None:
        SynthesisPlan.__post_init__(self)
        _at_least_one(negatives=self.negatives)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPlan(SynthesisPlan):
    """Grades from 0 to 3 for the `depth` passages that retrieval finds, `window` of them a call."""

    questions: Path
    depth: int = 20
    window: int = 10

    def __post_init__(self) -> None:
        SynthesisPlan.__post_init__(self)
        _at_least_one(depth=self.depth, window=self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningPlan:
    """What to mine from, and what a negative is.

    `source`: a folder of BEIR's layout (its own corpus is searched where no `collection` is named), or JSONL
    records with positives; None: the judged answers of the log. Of the candidates, best first and without the
    positives, those from `range_min` (0 is the best) to `range_max` are looked at. `relative_margin`: a
    negative scores at least that share below the best positive; None: no matter. `max_score`: and at most
    that. Scores are those of `rerank`, a spec, where given; otherwise cosine similarities, or BM25's where
    the encoder cannot read the question.
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
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.negatives < 0 or not 0 <= self.range_min < self.range_max:
            raise BadInputError(
                f"negatives={self.negatives} of range {self.range_min} to {self.range_max}: there are none",
                way_out="The range begins at 0 or more and ends behind its beginning.",
            )
        _at_least_one(sample=self.sample)
        if self.relative_margin is not None and not 0 <= self.relative_margin < 1:
            raise BadInputError(f"the relative margin lies from 0 to below 1, and is {self.relative_margin}")


def _at_least_one(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise BadInputError(f"{name} must be at least 1, and is {value}")
