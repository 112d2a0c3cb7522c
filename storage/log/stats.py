"""Computes statistics of each strategy: the database counts and sums, percentiles are taken here.

SQLite has no percentiles, and its window functions sort all rows at once, which takes twice as long.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal, select

from storage.log.query import conditions, visible
from storage.log.records import AnswerFilter, LogReader, StageStats, StrategyStats
from storage.log.tables import AnswerRow, StageRow

# Times by rerank spec and stage; the whole answer's have no stage.
_Times = dict[tuple[str, str], list[float]]


def stats(connection: Connection, where: AnswerFilter, reader: LogReader) -> list[StrategyStats]:
    """Return one entry a rerank spec, the most used first."""
    meant = [*conditions(connection, where), *visible(reader)]
    # these columns are all in the index of the list: no wide row is read
    row = AnswerRow
    sums = select(
        row.rerank,
        func.count().label("answers"),
        _count(row.answered).label("answered"),
        func.sum(row.cost).label("cost"),
        func.count(row.cost).label("cost_known"),
        _count(row.status != "ok").label("flagged"),
        _count(row.status == "fallback").label("fallbacks"),
        _count(row.feedback == "good").label("good"),
        _count(row.feedback == "bad").label("bad"),
        _count(row.judged > 0).label("judged"),
    )
    found = connection.execute(sums.where(*meant).group_by(row.rerank)).all()
    times = _times(connection.execute(select(row.rerank, literal(""), row.ms).where(*meant)).all())
    stages = _stages(connection, meant)
    entries = [
        StrategyStats(**_percentiles(times[one.rerank, ""]), stages=tuple(stages[one.rerank]), **one._mapping)
        for one in found
    ]
    return sorted(entries, key=lambda one: (-one.answers, one.rerank))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _count(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _times(rows: Iterable[Any]) -> _Times:
    """Return times in ascending order from rows of spec, stage and milliseconds."""
    times: _Times = defaultdict(list)
    for rerank, stage, ms in rows:
        times[rerank, stage].append(ms)
    for values in times.values():
        values.sort()
    return times


def _percentiles(times: Sequence[float]) -> dict[str, Any]:
    return {"ms_p50": percentile(times, 0.5), "ms_p95": percentile(times, 0.95)}


def _stages(connection: Connection, meant: Sequence[ColumnElement[bool]]) -> dict[str, list[StageStats]]:
    """Return the stages of each rerank spec, in their order."""
    row, key = StageRow, (AnswerRow.rerank, StageRow.name)
    sums = select(
        *key,
        func.count().label("runs"),
        _count(row.status == "repaired").label("repaired"),
        _count(row.status == "partial").label("partial"),
        _count(row.status == "fallback").label("fallbacks"),
        func.sum(row.calls).label("calls"),
        func.sum(row.cost).label("cost"),
    )
    joined = sums.join(AnswerRow, AnswerRow.number == row.answer_number).where(*meant)
    in_order = joined.group_by(*key).order_by(func.min(row.position), row.name)
    rows = select(*key, row.ms).join(AnswerRow, AnswerRow.number == row.answer_number).where(*meant)
    times = _times(connection.execute(rows).all())  # all at once: far quicker than one by one
    found: dict[str, list[StageStats]] = defaultdict(list)
    for stage in connection.execute(in_order):
        counts = dict(stage._mapping)
        spent = times[counts.pop("rerank"), stage.name]
        found[stage.rerank].append(StageStats(**_percentiles(spent), **counts))
    return found
