"""Where candidates come from: a leg over a corpus or a collection, or somebody's run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.records import Candidate, Outcome, Retrieval
from winnow.app import portal
from winnow.lab.datasets.dataset import Question
from winnow.lab.datasets.runs import Run
from winnow.lab.evaluation.cache import EvaluationCache
from winnow.lab.evaluation.corpus_index import CorpusIndex


class Retriever(Protocol):
    """What a leg searches with: see `retrieval.base.Retriever`."""

    async def search(self, query: str, top_k: int) -> Retrieval: ...


class Source(Protocol):
    """Candidates for a question. `label` is what the caller named it by; `key` names the cached results."""

    label: str
    key: str

    def retrieve(self, question: Question) -> Retrieval:
        """The candidates, best first, with the outcome and its milliseconds."""
        ...

    def documents(self, question: Question) -> Sequence[str]:
        """The documents of a run, best first; empty for a leg, which finds passages."""
        ...


def question_key(question: Question) -> str:
    """A question in the cache: the same id with another text is another question."""
    return hashlib.sha256(f"{question.id}\0{question.text}".encode()).hexdigest()[:24]


@dataclass(slots=True)
class LegSource:
    """Retrieval with winnow's own legs; what was found once is read from the cache.

    `forget` lets go of encoded questions, so that each leg's time holds its own encoding. `remember` keeps
    the passages that come: an index has them, a collection has not.
    """

    label: str
    key: str
    retriever: Retriever
    cache: EvaluationCache
    top_k: int
    forget: Callable[[], None]
    remember: bool = False

    def retrieve(self, question: Question) -> Retrieval:
        name = question_key(question)
        kept = self.cache.result(self.key, name)
        if kept is not None:
            return _restored(kept, self.cache)
        self.forget()
        found: Retrieval = portal.call(self.retriever.search, question.text, self.top_k)
        if self.remember:
            self.cache.remember([candidate.chunk for candidate in found.candidates])
        self.cache.keep(self.key, name, _stored(found))
        return found

    def documents(self, question: Question) -> Sequence[str]:  # noqa: ARG002 - a leg has none for any question
        return ()


@dataclass(slots=True)
class RunSource:
    """The passages of a run's documents, in the run's order."""

    label: str
    key: str
    run: Run
    index: CorpusIndex
    top_k: int | None = None

    def retrieve(self, question: Question) -> Retrieval:
        passages = [
            (chunk, score)
            for document, score in self._ranked(question)
            for chunk in self.index.cache.passages_of(document)
        ]
        candidates = (
            Candidate(chunk).ranked("retrieval", rank, score)
            for rank, (chunk, score) in enumerate(passages, start=1)
        )
        return Retrieval(tuple(candidates), Outcome("retrieval"))

    def documents(self, question: Question) -> Sequence[str]:
        return [document for document, _ in self._ranked(question)]

    def _ranked(self, question: Question) -> Sequence[tuple[str, float]]:
        return self.run.candidates.get(question.id, ())[: self.top_k]


def _stored(found: Retrieval) -> dict[str, object]:
    return {
        "candidates": [[one.id, one.ranks, one.scores] for one in found.candidates],
        "status": found.outcome.status,
        "reason": found.outcome.reason,
        "ms": found.outcome.ms,
    }


def _restored(kept: dict[str, list[Sequence[object]]], cache: EvaluationCache) -> Retrieval:
    rows = kept["candidates"]
    chunks = cache.passages(str(name) for name, _, _ in rows)
    candidates = tuple(Candidate(chunks[str(name)], ranks, scores) for name, ranks, scores in rows)  # type: ignore[arg-type]  # written by _stored
    outcome = Outcome("retrieval", kept["status"], kept["reason"], ms=kept["ms"])  # type: ignore[arg-type]  # likewise
    return Retrieval(candidates, outcome)
