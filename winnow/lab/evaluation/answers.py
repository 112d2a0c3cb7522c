"""Answers from a row's best passages: are they right, do citations hold, do they abstain when they must?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from storage.records import Candidate, Chunk, Generation, Usage
from winnow.app import portal
from winnow.lab.datasets.dataset import Dataset, Question
from winnow.lab.datasets.matching import contains, exact_match
from winnow.lab.evaluation.cache import EvaluationCache
from winnow.lab.evaluation.results import AnswerFigures
from winnow.lab.evaluation.rows import percentiles
from winnow.lab.evaluation.sources import question_key

# As many passages as an answerer sees in the application.
PASSAGES = 5
_REUSED = ("ok", "repaired")


class Generator(Protocol):
    """See `generation.base.Generator`."""

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation: ...


@dataclass(frozen=True, slots=True)
class Given:
    """What an answerer gave, as far as it is measured: `cited` are documents by the judgements' names."""

    text: str
    answered: bool
    cited: tuple[str, ...]
    status: str
    ms: float
    usage: Usage


@dataclass(slots=True)
class Answerer:
    """A Generator over cached answers."""

    generator: Generator
    cache: EvaluationCache
    name: Callable[[Chunk], str]

    def answer(self, key: str, question: Question, candidates: Sequence[Candidate]) -> Given:
        """The answer from the first passages; read from the cache where it was whole."""
        row = question_key(question)
        kept = self.cache.result(key, row)
        if kept is not None and kept["status"] in _REUSED:
            return Given(**{**kept, "cited": tuple(kept["cited"]), "usage": Usage(**kept["usage"])})
        final = [
            candidate.ranked("final", rank) for rank, candidate in enumerate(candidates[:PASSAGES], start=1)
        ]
        given = self._given(portal.call(self.generator.generate, question.text, final), final)
        self.cache.keep(key, row, asdict(given))
        return given

    def _given(self, made: Generation, final: Sequence[Candidate]) -> Given:
        names = {candidate.id: self.name(candidate.chunk) for candidate in final}
        # a citation of a passage that the answerer was not given is a wrong one
        cited = tuple(names.get(citation.chunk_id, "") for citation in made.citations)
        return Given(
            made.text, made.answered, cited, made.outcome.status, made.outcome.ms, made.outcome.usage
        )


@dataclass(slots=True)
class AnswerTally:
    """Counts over a row's answers."""

    right: list[bool] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)
    cited_well: list[bool] = field(default_factory=list)
    abstained: list[bool] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)

    def add(self, question: Question, given: Given, relevant: Iterable[str]) -> None:
        """Count an answer to a question that can be answered."""
        self._spent(given)
        wanted = set(relevant)
        self.cited_well += [document in wanted for document in given.cited]
        self.answered.append(given.answered)
        if question.answers:
            self.right.append(given.answered and contains(given.text, question.answers))
            self.exact.append(given.answered and exact_match(given.text, question.answers))

    def add_unanswerable(self, given: Given) -> None:
        """Count a reply where no passage that was given answers."""
        self._spent(given)
        self.abstained.append(not given.answered)

    def _spent(self, given: Given) -> None:
        self.ms.append(given.ms)
        self.statuses[given.status] += 1
        self.usage += given.usage

    def figures(self) -> AnswerFigures:
        return AnswerFigures(
            questions=len(self.answered),
            answered=_share(self.answered),
            containment=_share(self.right),
            exact_match=_share(self.exact),
            citation_precision=_share(self.cited_well),
            unanswerable=len(self.abstained),
            abstention=_share(self.abstained),
            statuses=dict(self.statuses),
            usage=self.usage,
            times=percentiles(self.ms),
        )


def noise_only(question: Question, dataset: Dataset, cache: EvaluationCache) -> list[Candidate]:
    """Passages that were judged useless for a question and hold no gold answer: the right reply is none."""
    grades = dataset.qrels.grades.get(question.id, {})
    passages = [
        chunk for document, grade in grades.items() if grade <= 0 for chunk in cache.passages_of(document)
    ]
    useless = [chunk for chunk in passages if not contains(chunk.text, question.answers)]
    return [
        Candidate(chunk).ranked("retrieval", rank) for rank, chunk in enumerate(useless[:PASSAGES], start=1)
    ]


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None
