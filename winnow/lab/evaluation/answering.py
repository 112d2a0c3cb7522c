"""Asking an answerer with the best passages of a row, and with passages that answer nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storage.records import Candidate
from winnow.lab.datasets.dataset import Dataset, Question
from winnow.lab.evaluation import fingerprints
from winnow.lab.evaluation.answers import Answerer, AnswerTally, noise_only
from winnow.lab.evaluation.corpus_index import Progress
from winnow.lab.evaluation.results import AnswerFigures
from winnow.lab.evaluation.sources import Source
from winnow.lab.evaluation.strategies import Strategy

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring
    from winnow.lab.evaluation.ground import Ground
    from winnow.lab.evaluation.plan import Plan


@dataclass(slots=True)
class AnswerRows:
    """One answerer for all rows of a measurement."""

    dataset: Dataset
    answerer: Answerer
    kind: str
    wiring: Wiring
    progress: Progress
    fresh: bool
    forgotten: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, plan: Plan, wiring: Wiring, ground: Ground, progress: Progress) -> AnswerRows:
        generator = wiring.generator(ground.vectors, plan.answerer)
        kind = plan.answerer or wiring.settings.answer.answerer
        answerer = Answerer(generator, ground.cache, ground.name)
        return cls(plan.dataset, answerer, kind, wiring, progress, plan.fresh)

    def row(self, source: Source, strategy: Strategy) -> AnswerRow:
        ranking = source.key if strategy.reranker is None else strategy.key(source.key)
        return AnswerRow(self, source, strategy, self.key(ranking))

    def key(self, ranking: str) -> str:
        """The cache's key of the answers from a ranking."""
        key = fingerprints.answers_key(ranking, self.kind, self.wiring.settings)
        if self.fresh and key not in self.forgotten:
            self.forgotten.add(key)
            self.answerer.cache.forget(key)
        return key


@dataclass(slots=True)
class AnswerRow:
    """The answers of one row, counted."""

    shared: AnswerRows
    source: Source
    strategy: Strategy
    key: str
    tally: AnswerTally = field(default_factory=AnswerTally)

    def add(self, question: Question, ranked: Sequence[Candidate]) -> None:
        """Answer a question from its candidates in their final order."""
        given = self.shared.answerer.answer(self.key, question, ranked)
        self.tally.add(question, given, self.shared.dataset.qrels.relevant(question.id))

    def finish(self) -> AnswerFigures:
        """Ask what cannot be answered, then give the figures."""
        self._without_relevant()
        self._from_noise()
        return self.tally.figures()

    def _without_relevant(self) -> None:
        for question in self.shared.dataset.unanswerable:
            ranked = self.strategy.rank(question, self.source.key, self.source.retrieve(question))
            self.tally.add_unanswerable(self.shared.answerer.answer(self.key, question, ranked.candidates))

    def _from_noise(self) -> None:
        """Ask with passages that were judged to be useless, and those alone: the same for every row."""
        key = self.shared.key("noise")
        questions = self.shared.dataset.questions
        for done, question in enumerate(questions, start=1):
            useless = noise_only(question, self.shared.dataset, self.shared.answerer.cache)
            if useless:
                self.tally.add_unanswerable(self.shared.answerer.answer(key, question, useless))
            self.shared.progress("asking from useless passages", done, len(questions))
