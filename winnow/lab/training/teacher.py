"""A teacher: any rerank chain, whose scores a smaller model learns (distillation).

Each question's scores are appended to a file as soon as they are there: a run that was stopped, killed or
out of budget asks only for what is missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank.chain import Chain
from rerank.llm.budget import CURRENT_METER, Meter
from rerank.score_memory import text_key
from rerank.spec import Spec
from rerank.training.journal import AppendedLines
from rerank.training.records import TrainingRecord
from storage.errors import BadInputError
from storage.records import Candidate, Ranking, Usage
from winnow.app import portal
from winnow.lab.progress import Progress
from winnow.lab.training.plans import TrainPlan
from winnow.lab.training.training_data import TrainingData

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring


def taught(
    plan: TrainPlan,
    spec: str,
    found: TrainingData,
    wiring: Wiring,
    progress: Progress,
    announce: Callable[[str], None],
) -> TrainingData:
    """The data with the teacher's scores, or its ranks where a stage without scores has the last word.

    What it could not score has none, and is told by reason. Raises SpecError for a spec that does not parse,
    what loading its strategies raises, and BadInputError where the teacher scored nothing, or the budget
    ended before it was through.
    """
    encoder = wiring.encoder
    chain = Chain.load(Spec.parse(spec), replace(wiring.rerank_parts(None, encoder), on_failure="fallback"))
    with Lessons(plan.scores, json.dumps([spec, wiring.conditions(encoder)])) as known:
        asking = _Asking(chain, known, Meter(plan.budget))
        lessons = []
        for done, record in enumerate(found.train, start=1):
            lessons.append(asking.lesson(record))
            progress("asking the teacher", done, len(found.train))
            if asking.budget_spent:
                break
    given = [lesson for lesson in lessons if lesson is not None]
    by_scores = all(lesson.scores for lesson in given)
    _tell(spec, asking, by_scores, announce)
    if asking.budget_spent and len(given) < len(found.train):
        raise BadInputError(
            f"the teacher's budget is spent after {len(given):,} of {len(found.train):,} questions",
            way_out="The same command goes on from there with a new budget; what was scored stays.",
        )
    if not given:
        reasons = "; ".join(asking.unscored) or "there is nothing to score"
        raise BadInputError(f"the teacher {spec} scored no question: {reasons}")
    pairs = zip(found.train, lessons, strict=True)
    return replace(found, train=[_with_lesson(record, one, by_scores) for record, one in pairs])


def _tell(spec: str, asking: _Asking, by_scores: bool, announce: Callable[[str], None]) -> None:
    usage, cost = asking.usage, ""
    if usage.calls:
        cost = f", {usage.calls:,} calls" + (f", cost {usage.cost:.4g}" if usage.cost is not None else "")
    announce(f"teacher {spec}: {asking.asked:,} questions asked, {asking.recalled:,} known before{cost}")
    if not by_scores:
        announce("its last word is an order without scores of one scale: its ranks are learned")
    for reason, count in asking.unscored.items():
        announce(f"{count:,} questions are without the teacher's scores: {reason}")


@dataclass(frozen=True, slots=True)
class _Lesson:
    """The ranks of a question's passages, from 0, and their scores where one stage scored them all."""

    ranks: Sequence[int]
    scores: Sequence[float]


def _with_lesson(record: TrainingRecord, lesson: _Lesson | None, by_scores: bool) -> TrainingRecord:
    """The record with the teacher's scores and no others."""
    given: Sequence[float | None] = [None] * len(record.passages)
    if lesson is not None:
        given = lesson.scores if by_scores else [-float(rank) for rank in lesson.ranks]
    pairs = zip(record.passages, given, strict=True)
    return replace(record, passages=tuple(replace(passage, score=score) for passage, score in pairs))


class _Asking:
    """Asks for what is not known. `unscored` counts questions by reason."""

    def __init__(self, chain: Chain, known: Lessons, meter: Meter) -> None:
        self.asked = self.recalled = 0
        self.usage = Usage()
        self.unscored = Counter[str]()
        self._chain = chain
        self._known = known
        self._meter = meter

    @property
    def budget_spent(self) -> bool:
        """True where not even a call more would be admitted."""
        return self.usage.calls > 0 and self._meter.refusal(Usage(calls=1, cost=0.0)) is not None

    def lesson(self, record: TrainingRecord) -> _Lesson | None:
        """The teacher's scores for a question, or None."""
        texts = [passage.text for passage in record.passages]
        if (known := self._known.get(record.query, texts)) is not None:
            self.recalled += 1
            return known
        candidates = [Candidate.from_text(text, id=str(place)) for place, text in enumerate(texts)]
        ranking = portal.call(self._within_budget, record.query, candidates)
        for outcome in ranking.outcomes:
            self.usage += outcome.usage
        if any(outcome.status in ("partial", "fallback") for outcome in ranking.outcomes):
            self.unscored[ranking.outcome.reason] += 1
            return None
        self.asked += 1
        lesson = _read(ranking, self._chain.scored_by)
        self._known.keep(record.query, texts, lesson)
        return lesson

    async def _within_budget(self, query: str, candidates: Sequence[Candidate]) -> Ranking:
        CURRENT_METER.set(self._meter)
        return await self._chain.rerank(query, candidates, len(candidates))


def _read(ranking: Ranking, stage: str) -> _Lesson:
    """The ranks, and the scores of the last stage that gives any, where it scored all on one scale.

    A fusion that read only some gives these a cross-encoder's scores and leaves the others theirs: scores
    that do not fall along its own order are of two scales.
    """
    ranks = {int(passage.id): rank for rank, passage in enumerate(ranking.everything)}
    scored = [one for one in ranking.everything if stage in one.scores and stage in one.ranks]
    falling = [one.scores[stage] for one in sorted(scored, key=lambda one: one.ranks[stage])]
    whole = len(scored) == len(ranks) and falling == sorted(falling, reverse=True)
    scores = {int(one.id): one.scores[stage] for one in scored} if whole else {}
    return _Lesson([ranks[n] for n in range(len(ranks))], [scores[n] for n in sorted(scores)])


class Lessons(AppendedLines):
    """A teacher's lessons in a file, by question and passages. A context manager.

    `identity` is part of the key: another teacher's scores are other scores.
    """

    kind = "a teacher's scores"

    def __init__(self, path: Path, identity: str) -> None:
        super().__init__(path)
        self._identity = identity
        self._known: dict[str, _Lesson] = {}

    def get(self, query: str, texts: Sequence[str]) -> _Lesson | None:
        """The lesson that is there already."""
        return self._known.get(self._key(query, texts))

    def keep(self, query: str, texts: Sequence[str], lesson: _Lesson) -> None:
        """Append a lesson."""
        self.append({"asked": self._key(query, texts), **asdict(lesson)})

    def _key(self, query: str, texts: Sequence[str]) -> str:
        return text_key("\0".join([self._identity, query, *texts]))

    def _take(self, entry: dict[str, Any]) -> None:
        scores = [float(score) for score in entry["scores"]]
        self._known[entry["asked"]] = _Lesson([int(rank) for rank in entry["ranks"]], scores)
