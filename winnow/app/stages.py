"""The stages that a question goes through, and the result of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from generation.base import Generator
from generation.followup import JoinedRewriter, Rewriter
from rerank.base import Reranker
from retrieval.base import Retriever
from retrieval.expansion import Expands
from storage.reasons import Reason
from storage.records import Candidate, Chunk, Outcome, Retrieval
from winnow.app.in_parts.dividing import Divider

if TYPE_CHECKING:
    from retrieval.hybrid import HybridRetriever


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages that a question goes through, and their names in the log.

    `rewriter` makes a follow-up self-contained; `expander`, if any, joins neighbours to the final passages.
    `divider`, if any, finds the questions that one asks; `answers_parts`: each is then answered by itself.
    """

    retriever: Retriever
    reranker: Reranker
    generator: Generator
    collection: str
    rerank: str
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    rewriter: Rewriter = field(default_factory=JoinedRewriter)
    expander: Expands | None = None
    divider: Divider | None = None
    answers_parts: bool = False


@dataclass(frozen=True, slots=True)
class NotedRetriever:
    """A retriever with one more remark on each outcome, whose status stays what it is."""

    retriever: HybridRetriever
    note: Reason

    async def search(self, query: str, top_k: int) -> Retrieval:
        """See `retrieval.base.Retriever`."""
        return self._noted(await self.retriever.search(query, top_k))

    async def search_like(self, query: str, passage: str, top_k: int) -> Retrieval:
        """See `retrieval.hybrid.HybridRetriever`."""
        return self._noted(await self.retriever.search_like(query, passage, top_k))

    def _noted(self, found: Retrieval) -> Retrieval:
        reason = Reason.all([found.outcome.reason, self.note])
        return replace(found, outcome=replace(found.outcome, reason=reason))


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search: every candidate, the final ones first, and the outcomes of the stages.

    `expanded` are the final ones joined with their `neighbours`, on request. `parts` are the sub-questions
    that were ranked each by itself.
    """

    question: str
    collection: str
    candidates: tuple[Candidate, ...]
    stages: tuple[Outcome, ...]
    expanded: tuple[Candidate, ...] = ()
    neighbours: tuple[Chunk, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def final(self) -> Sequence[Candidate]:
        """The best candidates, best first, as they were retrieved."""
        return [candidate for candidate in self.candidates if "final" in candidate.ranks]

    @property
    def passages(self) -> Sequence[Candidate]:
        """The final candidates as an answerer sees them."""
        return self.expanded or self.final

    @property
    def warnings(self) -> tuple[str, ...]:
        """The problems, one sentence each."""
        return warnings_of(self.stages)


def warnings_of(outcomes: Sequence[Outcome]) -> tuple[Reason, ...]:
    """Return one warning per reason; stages with the same reason share it."""
    stages: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status != "ok":
            stages.setdefault(outcome.reason, []).append(f"{outcome.name} {outcome.status}")
    return tuple(Reason("winnow.app.stages", stages=names, reason=reason) for reason, names in stages.items())
