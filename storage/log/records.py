"""Filters of the log, and its results other than answers. This module loads no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from storage.records import Status

Verdict = Literal["good", "bad"]
# Whose answers a token may see.
LogRight = Literal["own", "all"]
ExportFormat = Literal["jsonl", "csv", "beir"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFilter:
    """Selects answers; a field that is not given selects all.

    `text`: all its words occur in question and answer. `strategy`: the rerank spec, or a part of it.
    `since` ≤ time < `until`. `feedback`: the latest verdict, `judged` (some passage has a grade), `any` of
    them or `none`. `min_ms` and `min_cost` find the slow and the costly. `replays`: only those, or none.
    """

    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    collection: str | None = None
    strategy: str | None = None
    answerer: str | None = None
    status: Status | None = None
    answered: bool | None = None
    feedback: Verdict | Literal["judged", "any", "none"] | None = None
    min_ms: float | None = None
    min_cost: float | None = None
    replays: bool | None = None


EVERY = AnswerFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReader:
    """A user of the log, and the answers that are there for them.

    `asker` is who answers are logged under. `scope` is the filter that all their questions are held to, as
    text; empty: none. `collections` are the only ones that they know; None: all. `own`: answers of others are
    not there.

    With a scope, answers from outside of it are not there, not even one's own. Where some passage may be
    hidden, neither are follow-ups of others, which may repeat what came from elsewhere.
    """

    asker: str = ""
    scope: str = ""
    collections: tuple[str, ...] | None = None
    own: bool = False

    @property
    def scores_of(self) -> str:
        """Under whose name paid scores are remembered: one's own where something is hidden, else everybody's.

        A score that is there already tells that somebody asked the same of the same passage.
        """
        return self.asker if self.scope or self.collections is not None else ""


EVERYBODY = LogReader()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSummary:
    """One answer in a list.

    `status` is that of its worst stage, `ms` the whole time in milliseconds, `cost` None where unknown.
    `feedback` is the latest verdict, `judged` counts its passages that have a grade, `replay_of` is the id of
    the answer that it replays.
    """

    id: str
    created_at: datetime
    question: str
    collection: str
    rerank: str
    answerer: str
    status: Status
    ms: float
    answered: bool
    cost: float | None = None
    feedback: Verdict | None = None
    judged: int = 0
    replay_of: str | None = None


@dataclass(frozen=True, slots=True)
class Conversed:
    """A conversation: its answers, the first first, and its name, which is the first question until given."""

    name: str
    turns: tuple[AnswerSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """The feedback that people gave on an answer.

    `good` is the latest verdict, None where there is none; `notes` are oldest first; `grades` maps a
    candidate's place (from 1, in the order of `Answer.candidates`) to 0 (not relevant) to 3 (answers it).
    """

    good: bool | None = None
    notes: tuple[str, ...] = ()
    grades: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStats:
    """Statistics of one stage of a strategy; times in milliseconds, `cost` the sum of known costs."""

    name: str
    runs: int
    ms_p50: float
    ms_p95: float
    repaired: int
    partial: int
    fallbacks: int
    calls: int
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyStats:
    """Statistics of a rerank spec over many answers.

    `fallbacks` counts answers of which some stage fell back, `flagged` those where any stage was not `ok`.
    `cost` is the sum over the `cost_known` answers whose cost is known.
    """

    rerank: str
    answers: int
    answered: int
    ms_p50: float
    ms_p95: float
    cost: float | None
    cost_known: int
    flagged: int
    fallbacks: int
    good: int
    bad: int
    judged: int
    stages: tuple[StageStats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """The numbers of answers deleted, of passages that only they held, and of old answers kept."""

    answers: int
    passages: int
    kept: int = 0
