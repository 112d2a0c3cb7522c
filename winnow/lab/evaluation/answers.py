"""Answers from a row's best passages: are they right, do citations hold, do they abstain when they must?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from generation.citations import places
from storage.reasons import Reason
from storage.records import WEAK_MATCH, Candidate, Chunk, Generation, Usage
from winnow.app import portal
from winnow.lab.datasets.dataset import Dataset, Question
from winnow.lab.datasets.matching import contains, exact_match
from winnow.lab.evaluation import fingerprints
from winnow.lab.evaluation.cache import EvaluationCache
from winnow.lab.evaluation.cached_stages import REUSED, CachedReranker, CandidateSource, question_key
from winnow.lab.evaluation.evaluation_index import EvaluationIndex
from winnow.lab.evaluation.results import AnswerFigures, Plan
from winnow.lab.evaluation.rows import percentiles
from winnow.lab.progress import Progress
from winnow.lab.significance import wilson

if TYPE_CHECKING:
    from generation.base import Generator
    from winnow.app.wiring import Wiring

# As many passages as an answerer sees in the application.
PASSAGES = 5


@dataclass(frozen=True, slots=True)
class MeasuredAnswer:
    """The measured parts of an answer. `cited` are documents by the judgements' names.

    `first` is the text before the first citation; `weak`: the answerer flagged a weak match; `exact`: what
    comes before each citation is its quotation, None where nothing is quoted.
    """

    text: str
    first: str
    answered: bool
    weak: bool
    exact: bool | None
    cited: tuple[str, ...]
    status: str
    ms: float
    usage: Usage


@dataclass(slots=True)
class CachedAnswerer:
    """A Generator over cached answers."""

    generator: Generator
    cache: EvaluationCache
    name: Callable[[Chunk], str]

    def answer(self, key: str, question: Question, candidates: Sequence[Candidate]) -> MeasuredAnswer:
        """Answer from the first passages, or read the answer from the cache."""
        row = question_key(question)
        kept = self.cache.result(key, row)
        if kept is not None and kept["status"] in REUSED:
            return MeasuredAnswer(**{**kept, "cited": tuple(kept["cited"]), "usage": Usage(**kept["usage"])})
        final = [
            candidate.ranked("final", rank) for rank, candidate in enumerate(candidates[:PASSAGES], start=1)
        ]
        answer = self._measured(portal.call(self.generator.generate, question.text, final), final)
        self.cache.keep(key, row, asdict(answer))
        return answer

    def _measured(self, made: Generation, final: Sequence[Candidate]) -> MeasuredAnswer:
        names = {candidate.id: self.name(candidate.chunk) for candidate in final}
        # a citation of a passage that the answerer was not given is wrong
        cited = tuple(names.get(citation.chunk_id, "") for citation in made.citations)
        outcome = made.outcome
        return MeasuredAnswer(
            made.text,
            _first(made),
            made.answered,
            any(part.code == WEAK_MATCH for part in Reason.of(outcome.reason).parts),
            _is_exact(made),
            cited,
            outcome.status,
            outcome.ms,
            outcome.usage,
        )


def _first(made: Generation) -> str:
    marks = places(made.text, made.citations)
    return made.text[: marks[0][0]] if marks else made.text


_NOT_TEXT = re.compile(r"[\s*_>`~|:-]+")


def _is_exact(made: Generation) -> bool | None:
    """True if the text between the citations is what they quote, but for white space and Markdown."""
    if not made.citations or not all(citation.quote for citation in made.citations):
        return None
    shown, at = "", 0
    for start, end, _ in places(made.text, made.citations):
        shown, at = shown + made.text[at:start], end
    quoted = "".join(citation.quote for citation in made.citations)
    return at == len(made.text) and _NOT_TEXT.sub("", shown) == _NOT_TEXT.sub("", quoted)


@dataclass(slots=True)
class AnswerEvaluation:
    """One answerer for all rows of an evaluation."""

    plan: Plan
    answerer: CachedAnswerer
    kind: str
    wiring: Wiring
    progress: Progress

    @classmethod
    def load(cls, plan: Plan, wiring: Wiring, index: EvaluationIndex, progress: Progress) -> AnswerEvaluation:
        generator = wiring.generator(index.vectors, index.encoders, plan.answerer)
        answerer = CachedAnswerer(generator, index.cache, index.name)
        return cls(plan, answerer, plan.answerer or wiring.settings.answer.answerer, wiring, progress)

    def row(self, source: CandidateSource, reranker: CachedReranker) -> EvaluatedAnswers:
        ranking = source.key if reranker.reranker is None else reranker.key(source.key)
        return EvaluatedAnswers(self, source, reranker, self.key(ranking))

    def key(self, ranking: str) -> str:
        """The cache's key of the answers from a ranking."""
        key = fingerprints.answers_key(ranking, self.kind, self.wiring.settings)
        if self.plan.fresh:
            self.answerer.cache.forget(key)
        return key


@dataclass(slots=True)
class EvaluatedAnswers:
    """The answers of one row, counted."""

    shared: AnswerEvaluation
    source: CandidateSource
    reranker: CachedReranker
    key: str
    right: list[bool] = field(default_factory=list)
    first: list[bool] = field(default_factory=list)
    match: list[bool] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)
    sure: list[bool] = field(default_factory=list)
    wrong: list[bool] = field(default_factory=list)
    cited_well: list[bool] = field(default_factory=list)
    abstained: list[bool] = field(default_factory=list)
    doubted: list[bool] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)

    def add(self, question: Question, ranked: Sequence[Candidate]) -> None:
        """Answer a question from its candidates in their final order, and count the answer."""
        answer = self._answered(self.key, question, ranked)
        relevant = self.shared.plan.dataset.qrels.relevant(question.id)
        self.cited_well += [document in relevant for document in answer.cited]
        self.answered.append(answer.answered)
        self.sure.append(answer.answered and not answer.weak)
        if question.answers:
            right = answer.answered and contains(answer.text, question.answers)
            self.right.append(right)
            self.first.append(answer.answered and contains(answer.first, question.answers))
            self.match.append(answer.answered and exact_match(answer.text, question.answers))
            self.wrong.append(answer.answered and not answer.weak and not right)

    def finish(self) -> AnswerFigures:
        """Ask the questions that have no answer, then give the figures."""
        self._ask_unanswerable()
        self._ask_from_noise()
        shares = {
            "answered": self.answered,
            "sure": self.sure,
            "containment": self.right,
            "first": self.first,
            "exact_match": self.match,
            "wrong": self.wrong,
            "exactness": self.exact,
            "citation_precision": self.cited_well,
            "abstention": self.abstained,
            "doubted": self.doubted,
            "abstention_precision": [False] * (len(self.answered) - sum(self.answered))
            + [True] * sum(self.abstained),
        }
        return AnswerFigures(
            questions=len(self.answered),
            unanswerable=len(self.abstained),
            **{name: _share(values) for name, values in shares.items()},
            intervals={name: wilson(sum(values), len(values)) for name, values in shares.items() if values},
            statuses=dict(self.statuses),
            usage=self.usage,
            times=percentiles(self.ms),
        )

    def _ask_unanswerable(self) -> None:
        for question in self.shared.plan.dataset.unanswerable:
            ranked = self.reranker.rank(question, self.source, self.source.retrieve(question))
            self._count_refusal(self._answered(self.key, question, ranked.candidates))

    def _ask_from_noise(self) -> None:
        """Ask with passages that were judged useless, and those alone: the same for every row."""
        key, dataset = self.shared.key("noise"), self.shared.plan.dataset
        for done, question in enumerate(dataset.questions, start=1):
            useless = _useless(question, dataset, self.shared.answerer.cache)
            if useless:
                self._count_refusal(self._answered(key, question, useless))
            self.shared.progress("asking from useless passages", done, len(dataset.questions))

    def _count_refusal(self, answer: MeasuredAnswer) -> None:
        self.abstained.append(not answer.answered)
        self.doubted.append(not answer.answered or answer.weak)

    def _answered(self, key: str, question: Question, candidates: Sequence[Candidate]) -> MeasuredAnswer:
        answer = self.shared.answerer.answer(key, question, candidates)
        self.ms.append(answer.ms)
        if answer.exact is not None:
            self.exact.append(answer.exact)
        self.statuses[answer.status] += 1
        self.usage += answer.usage
        return answer


def _useless(question: Question, dataset: Dataset, cache: EvaluationCache) -> list[Candidate]:
    """Passages that were judged useless and hold no gold answer: the right reply is to abstain."""
    grades = dataset.qrels.grades.get(question.id, {})
    passages = [
        chunk for document, grade in grades.items() if grade <= 0 for chunk in cache.passages_of(document)
    ]
    useless = [chunk for chunk in passages if not contains(chunk.text, question.answers)]
    return [
        Candidate(chunk).ranked("retrieval", rank) for rank, chunk in enumerate(useless[:PASSAGES], start=1)
    ]


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
