"""How making training data went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage.records import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run would ask, before anything is asked. Tokens are estimated, rather too high than too low.

    `units` are passages or questions, `calls` at most; `paid` of the calls are in the journal already.
    `cost` is None where the model has no price in the settings.
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
    """What became of every passage or question.

    `kept` records are in the file `out`. `rejected` counts by reason what is not, `left` what a later run
    will ask for, and `stopped` says why. `dropped` counts by reason the passages that are no negatives.
    `usage` is this run's; its `cached` counts replies that an earlier run has paid for. `failed` counts calls
    that brought no reply.
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

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "out": str(self.out)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningReport:
    """What was mined: `records` of `questions`, with so many `negatives`.

    `skipped` counts by reason questions without a record, `dropped` the passages that were looked at and are
    no negatives; `short` records have fewer negatives than were wanted.
    """

    out: Path
    questions: int
    records: int
    negatives: int
    short: int
    skipped: Mapping[str, int] = field(default_factory=Counter)
    dropped: Mapping[str, int] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "out": str(self.out)}
