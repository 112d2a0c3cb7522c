"""How each strategy did over the logged answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from storage.log_query import numbers
from storage.log_records import AnswerFilter, StageStats, StrategyStats
from storage.tables import AnswerRow, StageRow

# These columns are all in the index of the list: no wide row is read.
_ANSWERS = select(
    *(AnswerRow.number, AnswerRow.rerank, AnswerRow.ms, AnswerRow.cost, AnswerRow.status),
    *(AnswerRow.answered, AnswerRow.feedback, AnswerRow.judged),
)
_STAGES = select(
    *(StageRow.answer_number, StageRow.name, StageRow.ms, StageRow.status, StageRow.calls, StageRow.cost)
).order_by(StageRow.answer_number, StageRow.position)


def stats(connection: Connection, where: AnswerFilter) -> list[StrategyStats]:
    """One entry a rerank spec, the most used first."""
    meant = numbers(connection, where).order_by(None)
    answers: dict[str, list[Any]] = {}
    specs: dict[int, str] = {}
    for row in connection.execute(_ANSWERS.where(AnswerRow.number.in_(meant))):
        specs[row.number] = row.rerank
        answers.setdefault(row.rerank, []).append(row)
    stages: dict[str, dict[str, list[Any]]] = {rerank: {} for rerank in answers}
    for stage in connection.execute(_STAGES.where(StageRow.answer_number.in_(meant))):
        stages[specs[stage.answer_number]].setdefault(stage.name, []).append(stage)
    found = [_strategy(rerank, rows, stages[rerank]) for rerank, rows in answers.items()]
    return sorted(found, key=lambda one: (-one.answers, one.rerank))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _strategy(rerank: str, answers: Sequence[Any], stages: Mapping[str, Sequence[Any]]) -> StrategyStats:
    times = [row.ms for row in answers]
    return StrategyStats(
        rerank=rerank,
        answers=len(answers),
        answered=sum(row.answered for row in answers),
        ms_p50=percentile(times, 0.5),
        ms_p95=percentile(times, 0.95),
        cost=_sum(row.cost for row in answers),
        cost_known=sum(row.cost is not None for row in answers),
        flagged=sum(row.status != "ok" for row in answers),
        fallbacks=sum(row.status == "fallback" for row in answers),
        good=sum(row.feedback == "good" for row in answers),
        bad=sum(row.feedback == "bad" for row in answers),
        judged=sum(row.judged > 0 for row in answers),
        stages=tuple(_stage(name, rows) for name, rows in stages.items()),
    )


def _stage(name: str, rows: Sequence[Any]) -> StageStats:
    times = [row.ms for row in rows]
    statuses = [row.status for row in rows]
    return StageStats(
        name=name,
        runs=len(rows),
        ms_p50=percentile(times, 0.5),
        ms_p95=percentile(times, 0.95),
        repaired=statuses.count("repaired"),
        partial=statuses.count("partial"),
        fallbacks=statuses.count("fallback"),
        calls=sum(row.calls for row in rows),
        cost=_sum(row.cost for row in rows),
    )


def _sum(costs: Iterable[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None
