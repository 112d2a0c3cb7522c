"""Rerank specs compared over many logged answers: agreement, cost, latency, and quality where judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.errors import BadInputError
from storage.records import AROUND_RERANK, Answer, Outcome, Usage
from winnow.replay import Replay, replay

if TYPE_CHECKING:
    from winnow.evaluation import Difference
    from winnow.wiring import Wiring

Grades = Mapping[str, int]

_SEED = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecRow:
    """How one spec did. Shares and metrics lie in [0, 1], times are milliseconds of the rerank stages.

    `overlap` and `rbo` compare its final passages with the logged ones; `ndcg` (at 5) and `mrr` are over the
    `judged` answers, None without any; `against_first` is the nDCG difference to the first spec.
    """

    spec: str
    answers: int
    overlap: float
    rbo: float
    ms_p50: float
    ms_p95: float
    calls: int
    cost: float | None
    fallbacks: int
    judged: int
    ndcg: float | None = None
    mrr: float | None = None
    against_first: Difference | None = None


async def compare(
    answers: Sequence[Answer], grades: Mapping[str, Grades], specs: Sequence[str], wiring: Wiring
) -> list[SpecRow]:
    """Replay every answer under every spec, without logging it.

    `grades` maps an answer's id to its judged passages' grades, by chunk id. Raises BadInputError where there
    is nothing to compare.
    """
    if not answers or not specs:
        raise BadInputError(
            "there is nothing to compare", way_out="Ask something, and name specs with --rerank."
        )
    rows: list[SpecRow] = []
    first: Sequence[float] | None = None
    for spec in specs:
        replays = [await replay(answer, wiring, rerank=spec, answerer="extractive") for answer in answers]
        quality = _quality(replays, grades)
        rows.append(_row(spec, replays, quality, first))
        first = first if first is not None else [ndcg for ndcg, _ in quality]
    return rows


def _row(
    spec: str,
    replays: Sequence[Replay],
    quality: Sequence[tuple[float, float]],
    first: Sequence[float] | None,
) -> SpecRow:
    import numpy as np

    outcomes = [_rerank_outcomes(each) for each in replays]
    ms = [sum(outcome.ms for outcome in stages) for stages in outcomes]
    usage = sum((outcome.usage for stages in outcomes for outcome in stages), Usage())
    return SpecRow(
        spec=spec,
        answers=len(replays),
        overlap=float(np.mean([each.overlap for each in replays])),
        rbo=float(np.mean([each.rbo for each in replays])),
        ms_p50=float(np.percentile(ms, 50)),
        ms_p95=float(np.percentile(ms, 95)),
        calls=usage.calls,
        cost=usage.cost,
        fallbacks=sum(any(outcome.status == "fallback" for outcome in stages) for stages in outcomes),
        judged=len(quality),
        ndcg=float(np.mean([ndcg for ndcg, _ in quality])) if quality else None,
        mrr=float(np.mean([rank for _, rank in quality])) if quality else None,
        against_first=_difference([ndcg for ndcg, _ in quality], first) if quality and first else None,
    )


def _difference(here: Sequence[float], first: Sequence[float]) -> Difference:
    import numpy as np

    from winnow.evaluation import difference, resampled_means

    gains = np.array(here) - np.array(first)
    means = resampled_means(gains[:, None], seed=_SEED)[:, 0]
    return difference(float(gains.mean()), means)


def _rerank_outcomes(replayed: Replay) -> list[Outcome]:
    """The rerank stages; one that the log gave again counts with the time and calls that it took then."""
    then = {stage.name: stage for stage in replayed.original.stages}
    stages = (stage for stage in replayed.answer.stages if stage.name not in AROUND_RERANK)
    return [stage if stage.name in replayed.recomputed else then[stage.name] for stage in stages]


def _quality(replays: Sequence[Replay], grades: Mapping[str, Grades]) -> list[tuple[float, float]]:
    """nDCG@5 and the reciprocal rank of every judged answer."""
    import ir_measures
    from ir_measures import RR, nDCG

    judged = {each.original.id: dict(found) for each in replays if (found := grades.get(each.original.id))}
    if not judged:
        return []
    run = {
        each.original.id: {c.id: -float(place) for place, c in enumerate(each.answer.candidates)}
        for each in replays
        if each.original.id in judged
    }
    values: dict[str, dict[str, float]] = {id_: {} for id_ in judged}
    for metric in ir_measures.iter_calc([nDCG @ 5, RR], judged, run):
        values[metric.query_id][str(metric.measure)] = metric.value
    return [(value.get("nDCG@5", 0.0), value.get("RR", 0.0)) for value in values.values()]
