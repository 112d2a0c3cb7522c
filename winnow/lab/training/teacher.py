"""A teacher: any rerank chain, whose scores a smaller model learns (distillation).

Each question's scores are appended to a file as soon as they are there: a run that was stopped, killed or
out of budget asks only for what is missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rerank.base import Reranker
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
    """The data with the teacher's scores. Questions that it could not score keep their labels.

    Raises SpecError for a spec that does not parse, what loading its strategies raises, and BadInputError
    where the teacher scored nothing.
    """
    encoder = wiring.encoder
    chain = Chain.load(Spec.parse(spec), replace(wiring.rerank_parts(None, encoder), on_failure="fallback"))
    with TeacherScores(plan.scores, json.dumps([spec, wiring.conditions(encoder)])) as known:
        lessons = Lessons(chain, known, Meter(plan.budget))
        records = []
        for done, record in enumerate(found.train, start=1):
            records.append(lessons.scored(record))
            progress("asking the teacher", done, len(found.train))
    _tell(spec, lessons, announce)
    if not lessons.asked + lessons.recalled:
        reasons = "; ".join(lessons.unscored) or "there is nothing to score"
        raise BadInputError(f"the teacher {spec} scored no question: {reasons}")
    return replace(found, train=records)


def _tell(spec: str, lessons: Lessons, announce: Callable[[str], None]) -> None:
    usage, cost = lessons.usage, ""
    if usage.calls:
        cost = f", {usage.calls:,} calls" + (f", cost {usage.cost:.4g}" if usage.cost is not None else "")
    announce(f"teacher {spec}: {lessons.asked:,} questions asked, {lessons.recalled:,} known before{cost}")
    for reason, count in lessons.unscored.items():
        announce(f"{count:,} questions without the teacher's scores keep their labels: {reason}")


class Lessons:
    """Asks for what is not known. `unscored` counts questions by reason."""

    def __init__(self, chain: Reranker, known: TeacherScores, meter: Meter) -> None:
        self.asked = self.recalled = 0
        self.usage = Usage()
        self.unscored = Counter[str]()
        self._chain = chain
        self._known = known
        self._meter = meter

    def scored(self, record: TrainingRecord) -> TrainingRecord:
        """The record with the teacher's scores and no others; without any where it gave none."""
        texts = [passage.text for passage in record.passages]
        scores = self._known.get(record.query, texts)
        if scores is None:
            scores = self._ask(record.query, texts)
        else:
            self.recalled += 1
        given: Sequence[float | None] = [None] * len(texts) if scores is None else scores
        pairs = zip(record.passages, given, strict=True)
        return replace(record, passages=tuple(replace(passage, score=score) for passage, score in pairs))

    def _ask(self, query: str, texts: Sequence[str]) -> list[float] | None:
        candidates = [Candidate.from_text(text, id=str(place)) for place, text in enumerate(texts)]
        ranking = portal.call(self._within_budget, query, candidates)
        for outcome in ranking.outcomes:
            self.usage += outcome.usage
        scores = _scores(ranking)
        if scores is None:
            self.unscored[ranking.outcome.reason or "its scores are not complete"] += 1
            return None
        self.asked += 1
        self._known.keep(query, texts, scores)
        return scores

    async def _within_budget(self, query: str, candidates: Sequence[Candidate]) -> Ranking:
        CURRENT_METER.set(self._meter)
        return await self._chain.rerank(query, candidates, len(candidates))


def _scores(ranking: Ranking) -> list[float] | None:
    """Each passage's score, in the order of their ids; None where a stage did not do all of its work.

    The last stage's, or, where that orders without scoring all, the negated ranks.
    """
    if any(outcome.status in ("partial", "fallback") for outcome in ranking.outcomes):
        return None
    name = ranking.outcomes[-1].name
    places = {int(passage.id): -float(rank) for rank, passage in enumerate(ranking.everything)}
    scores = {int(p.id): p.scores[name] for p in ranking.everything if name in p.scores}
    chosen = scores if len(scores) == len(places) else places
    return [chosen[place] for place in range(len(places))]


class TeacherScores:
    """A teacher's scores in a file, by question and passages. A context manager.

    `identity` is part of the key: another teacher's scores are other scores.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._identity = identity
        self._known: dict[str, list[float]] = {}
        self._lines = AppendedLines(path, "a teacher's scores", self._take)

    def __enter__(self) -> Self:
        self._lines.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.__exit__()

    def get(self, query: str, texts: Sequence[str]) -> list[float] | None:
        """The scores that are there already."""
        return self._known.get(self._key(query, texts))

    def keep(self, query: str, texts: Sequence[str], scores: list[float]) -> None:
        """Append scores."""
        self._lines.append({"asked": self._key(query, texts), "scores": scores})

    def _key(self, query: str, texts: Sequence[str]) -> str:
        return text_key("\0".join([self._identity, query, *texts]))

    def _take(self, entry: dict[str, Any]) -> None:
        self._known[entry["asked"]] = [float(score) for score in entry["scores"]]
