"""Rerank specs compared over many logged answers: agreement, cost, latency, and quality where judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from storage.errors import BadInputError
from storage.log.records import EVERY, AnswerFilter
from storage.records import AROUND_RERANK, Answer, Outcome, Usage
from winnow.app import portal
from winnow.app.replay import Replay, replay
from winnow.lab.progress import Progress
from winnow.lab.significance import Difference, Interval, interval, paired_difference, resampled_means

if TYPE_CHECKING:
    from storage.log.answer_log import AnswerLog
    from winnow.app.wiring import Wiring
Grades = Mapping[str, int]
# nDCG@5 and reciprocal rank by the answer's id.
Quality = Mapping[str, tuple[float, float]]

_SEED = 13
_EXCERPT = 400
# Answers whose times stand for a spec.
_TIMED = 100


@dataclass(frozen=True, slots=True)
class FinalPassage:
    """A passage that an answer was or would be made from; `grade` is None where nobody judged it."""

    chunk_id: str
    title: str
    text: str
    grade: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedAnswer:
    """One logged answer under one spec: its final passages then and now, best first, and their agreement.

    `ndcg` (at 5) is None where nothing is judged; `ms` and `cost` are those of the rerank stages.
    """

    answer_id: str
    question: str
    overlap: float
    rbo: float
    ms: float
    cost: float | None
    ndcg: float | None
    logged: tuple[FinalPassage, ...]
    replayed: tuple[FinalPassage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecRow:
    """The figures of one spec. Shares and metrics lie in [0, 1], times are milliseconds of the rerank stages.

    `overlap` and `rbo` compare its final passages with the logged ones; `ndcg` (at 5) and `mrr` are over the
    `judged` answers, None without any; `against_first` is the nDCG difference to the first spec. Intervals
    (95 %) are by bootstrap over the answers, the same draws for every spec; `each` has them one by one.
    The times are of the `timed` newest answers that were asked with the spec; where the log has none, they
    are of the replays, which run without the store and take as long as no question does.
    """

    spec: str
    answers: int
    overlap: float
    overlap_interval: Interval
    rbo: float
    rbo_interval: Interval
    ms_p50: float
    ms_p95: float
    timed: int
    calls: int
    cost: float | None
    fallbacks: int
    judged: int
    ndcg: float | None = None
    ndcg_interval: Interval | None = None
    mrr: float | None = None
    mrr_interval: Interval | None = None
    against_first: Difference | None = None
    each: tuple[ComparedAnswer, ...] = ()


def compare_logged(
    log: AnswerLog,
    wiring: Wiring,
    specs: Sequence[str],
    where: AnswerFilter = EVERY,
    *,
    last: int | None,
    progress: Progress | None = None,
) -> list[SpecRow]:
    """Compare rerank specs over the newest `last` logged answers that `where` picks.

    Raises BadInputError where there is nothing to compare.
    """
    answers = _newest(log, where, last)
    grades = {answer.id: log.grades(answer) for answer in answers}
    times = {spec: _asked_ms(log, spec) for spec in specs}
    scores_of = log.reader.scores_of
    return portal.call(lambda: compare(answers, grades, specs, wiring, progress, times, scores_of=scores_of))


def _asked_ms(log: AnswerLog, spec: str) -> list[float]:
    """The milliseconds of the rerank stages of the newest answers that were asked with the spec."""
    asked = log.answers(AnswerFilter(strategy=spec, replays=False))
    same = islice((answer for answer in asked if answer.rerank == spec), _TIMED)
    # a fusion's own time is without its members', which are stages, too
    return [sum(stage.ms for stage in one.stages if stage.name not in AROUND_RERANK) for one in same]


def regress(
    log: AnswerLog, wiring: Wiring, where: AnswerFilter = EVERY, progress: Progress | None = None
) -> SpecRow:
    """Measure the settings' own chain on every judged answer. Raises BadInputError where none is judged."""
    judged = changed(where, feedback="judged")
    if not _newest(log, judged, 1):
        raise BadInputError(
            "no answer has judged passages", way_out="Judge some: winnow log feedback ID --passage 1=3"
        )
    return compare_logged(log, wiring, [wiring.settings.rerank.spec], judged, last=None, progress=progress)[0]


def _newest(log: AnswerLog, where: AnswerFilter, last: int | None) -> list[Answer]:
    """The newest answers, without replays, which would count their originals twice."""
    return list(islice(log.answers(changed(where, replays=False)), last))


async def compare(
    answers: Sequence[Answer],
    grades: Mapping[str, Grades],
    specs: Sequence[str],
    wiring: Wiring,
    progress: Progress | None = None,
    times: Mapping[str, Sequence[float]] = MappingProxyType({}),
    scores_of: str = "",
) -> list[SpecRow]:
    """Replay every answer under every spec, without logging it.

    `grades` maps an answer's id to its judged passages' grades, by chunk id; `progress` gets each spec's
    progress; `times` are milliseconds of questions that were asked with a spec; `scores_of`: see
    `LogReader.scores_of`. Raises BadInputError where
    there is nothing to compare.
    """
    if not answers or not specs:
        raise BadInputError(
            "there is nothing to compare", way_out="Ask something, and name specs with --rerank."
        )
    rows: list[SpecRow] = []
    first: Sequence[float] | None = None
    for spec in specs:
        replays: list[Replay] = []
        for answer in answers:
            done = await replay(answer, wiring, rerank=spec, answerer="extractive", scores_of=scores_of)
            replays.append(done)
            if progress is not None:
                progress(spec, len(replays), len(answers))
        quality = _quality(replays, grades)
        rows.append(_row(spec, replays, quality, grades, first, times.get(spec, ())))
        first = first if first is not None else [ndcg for ndcg, _ in quality.values()]
    return rows


def _row(
    spec: str,
    replays: Sequence[Replay],
    quality: Quality,
    grades: Mapping[str, Grades],
    first: Sequence[float] | None,
    asked_ms: Sequence[float],
) -> SpecRow:
    import numpy as np

    outcomes = [_rerank_outcomes(each) for each in replays]
    usage = sum((outcome.usage for stages in outcomes for outcome in stages), Usage())
    each = tuple(
        _compared(one, stages, quality.get(one.original.id), grades.get(one.original.id, {}))
        for one, stages in zip(replays, outcomes, strict=True)
    )
    ms = asked_ms or [one.ms for one in each]
    overlap, rbo = _mean([one.overlap for one in each]), _mean([one.rbo for one in each])
    ndcgs = [ndcg for ndcg, _ in quality.values()]
    ndcg, mrr = (_mean(ndcgs), _mean([rank for _, rank in quality.values()])) if quality else (None, None)
    return SpecRow(
        spec=spec,
        answers=len(replays),
        overlap=overlap[0],
        overlap_interval=overlap[1],
        rbo=rbo[0],
        rbo_interval=rbo[1],
        ms_p50=float(np.percentile(ms, 50)),
        ms_p95=float(np.percentile(ms, 95)),
        timed=len(asked_ms),
        calls=usage.calls,
        cost=usage.cost,
        fallbacks=sum(any(outcome.status == "fallback" for outcome in stages) for stages in outcomes),
        judged=len(quality),
        ndcg=ndcg[0] if ndcg else None,
        ndcg_interval=ndcg[1] if ndcg else None,
        mrr=mrr[0] if mrr else None,
        mrr_interval=mrr[1] if mrr else None,
        against_first=paired_difference(first, ndcgs, seed=_SEED) if quality and first else None,
        each=each,
    )


def _compared(
    one: Replay, stages: Sequence[Outcome], quality: tuple[float, float] | None, grades: Grades
) -> ComparedAnswer:
    usage = sum((outcome.usage for outcome in stages), Usage())
    return ComparedAnswer(
        answer_id=one.original.id,
        question=one.original.question,
        overlap=one.overlap,
        rbo=one.rbo,
        ms=sum(outcome.ms for outcome in stages),
        cost=usage.cost,
        ndcg=quality[0] if quality else None,
        logged=_passages(one.original, grades),
        replayed=_passages(one.answer, grades),
    )


def _passages(answer: Answer, grades: Grades) -> tuple[FinalPassage, ...]:
    return tuple(
        FinalPassage(one.id, one.chunk.context or one.chunk.source, one.text[:_EXCERPT], grades.get(one.id))
        for one in answer.final
    )


def _mean(values: Sequence[float]) -> tuple[float, Interval]:
    """The mean, and its interval by bootstrap."""
    import numpy as np

    means = resampled_means(np.array(values)[:, None], seed=_SEED)[:, 0]
    return float(np.mean(values)), interval(means)


def _rerank_outcomes(replayed: Replay) -> list[Outcome]:
    """The rerank stages; one restored from the log counts with its original time and calls."""
    found: list[Outcome] = []
    for stage in replayed.answer.stages:
        if stage.name in AROUND_RERANK:
            continue
        if any(_is_part(stage.name, one) for one in replayed.recomputed):
            found.append(stage)
        else:
            found += [then for then in replayed.original.stages if then.name == stage.name]
    return found


def _is_part(name: str, stage: str) -> bool:
    """True for the outcome of a stage, or of one of its members (`fusion.late-interaction`)."""
    return name == stage or name.startswith(f"{stage}.")


def _quality(replays: Sequence[Replay], grades: Mapping[str, Grades]) -> Quality:
    """nDCG@5 and the reciprocal rank of every judged answer."""
    import ir_measures
    from ir_measures import RR, nDCG

    judged = {each.original.id: dict(found) for each in replays if (found := grades.get(each.original.id))}
    if not judged:
        return {}
    run = {
        each.original.id: {c.id: -float(place) for place, c in enumerate(each.answer.candidates)}
        for each in replays
        if each.original.id in judged
    }
    values: dict[str, dict[str, float]] = {id_: {} for id_ in judged}
    for metric in ir_measures.iter_calc([nDCG @ 5, RR], judged, run):
        values[metric.query_id][str(metric.measure)] = metric.value
    return {id_: (value.get("nDCG@5", 0.0), value.get("RR", 0.0)) for id_, value in values.items()}
