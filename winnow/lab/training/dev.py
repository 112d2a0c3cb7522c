"""How well a model orders the passages of records: what training looks at, and what the gate can hold."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from rerank.training.course import Measure, Scorer
from rerank.training.records import TrainingRecord
from winnow.lab.evaluation.metrics import RANKING_METRICS, measured

_SHOWN = ("nDCG@10", "MRR@10")


def measure_of(records: Sequence[TrainingRecord]) -> Measure | None:
    """nDCG@10 and MRR@10 over the records; None where there are none."""
    if not records:
        return None
    orders = [shuffled(record) for record in records]

    def measure(score: Scorer) -> Mapping[str, float]:
        pairs = [
            (record.query, record.passages[place].text)
            for record, order in zip(records, orders, strict=True)
            for place in order
        ]
        scores = iter(score(pairs))
        rankings = []
        for order in orders:
            values = [next(scores) for _ in order]
            best = sorted(range(len(order)), key=lambda i: -values[i])
            rankings.append([order[i] for i in best])
        rows = figures(records, rankings)
        return {name: sum(row[name] for row in rows) / len(rows) for name in _SHOWN}

    return measure


def shuffled(record: TrainingRecord) -> list[int]:
    """The places of a record's passages in an order that gives nothing away to a scorer of ties."""
    order = list(range(len(record.passages)))
    random.Random(record.query).shuffle(order)
    return order


def figures(
    records: Sequence[TrainingRecord], rankings: Sequence[Sequence[int]]
) -> list[Mapping[str, float]]:
    """The ranking metrics of each record, whose passages are ranked by their places, best first."""
    grades = {
        str(number): {str(place): passage.label for place, passage in enumerate(record.passages)}
        for number, record in enumerate(records)
    }
    ranked = {str(number): [str(place) for place in order] for number, order in enumerate(rankings)}
    values = measured(grades, ranked)
    return [dict(zip(RANKING_METRICS, values[str(number)], strict=True)) for number in range(len(records))]
