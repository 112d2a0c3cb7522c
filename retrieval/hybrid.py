"""The hybrid query: a dense and a lexical leg in one batch, fused into the Top-K."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal

import anyio.to_thread

from retrieval.fusion import CODE, fuse
from storage.errors import BadInputError, ModelError
from storage.qdrant.conditions import Condition
from storage.qdrant.contract import DENSE, LEXICAL, Searcher
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Retrieval, Usage, unreadable_question
from storage.vectors import Hit, Leg, SparseVector, TextEncoder

if TYPE_CHECKING:
    from retrieval.lexical import LexicalEncoder

Mode = Literal["hybrid", "dense", "lexical"]


@dataclass(frozen=True, slots=True)
class HybridRetriever:
    """Dense and BM25 legs over one collection. `mode` switches a leg off, `where` filters both.

    `min_score` is the cosine that a candidate must reach. `exact` scans instead of using the graph.
    """

    searcher: Searcher
    encoder: TextEncoder
    terms: LexicalEncoder
    _: KW_ONLY
    mode: Mode = "hybrid"
    where: Condition | None = None
    min_score: float | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if self.min_score is not None and self.mode == "lexical":
            raise BadInputError(
                "min_score is a cosine, which lexical search does not have",
                way_out="Leave it out, or set retrieval.mode to hybrid or dense.",
            )

    async def search(self, query: str, top_k: int) -> Retrieval:
        """At most `top_k` candidates, best first. The outcome is `partial` if a leg cannot run."""
        return await anyio.to_thread.run_sync(self._search, query, top_k)

    async def search_like(self, query: str, passage: str, top_k: int) -> Retrieval:
        """`search` whose dense leg looks for passages like the one given, which would answer the question."""
        return await anyio.to_thread.run_sync(self._search, query, top_k, passage)

    def _search(self, query: str, top_k: int, passage: str = "") -> Retrieval:
        started = time.perf_counter()
        dense, reasons, usage = self._dense_leg(query, passage)
        lexical, more = self._lexical_leg(query)
        legs, reasons = [*dense, *lexical], [*reasons, *more]
        hits = self.searcher.search(legs, top_k, self.where) if legs else []
        found = {leg.name: found for leg, found in zip(legs, hits, strict=True)}
        if alone := self._alone(query):
            found[CODE] = alone
        candidates, notes = self._fused(found, top_k)
        if not reasons:  # no part of a warning
            notes = [*few_hold_a_word(found, top_k), *notes]
        return Retrieval(
            tuple(candidates),
            Outcome(
                "retrieval",
                "partial" if reasons else "ok",
                Reason.all([*reasons, *notes]),
                ms=(time.perf_counter() - started) * 1000,
                usage=usage,
            ),
        )

    def _alone(self, query: str) -> list[Hit]:
        """The passages that alone hold a code of the question, or two of one document, which may overlap."""
        if self.mode == "dense" or not (codes := self.terms.codes(query)):
            return []
        legs = [Leg(LEXICAL, SparseVector((code,), (1.0,))) for code in codes]
        few = [hits for hits in self.searcher.search(legs, 3, self.where) if len(hits) < 3]
        alone = [hits for hits in few if len({hit.chunk.document_id for hit in hits}) == 1]
        return list({hit.chunk.id: hit for hits in alone for hit in hits}.values())

    def _fused(self, found: Mapping[str, Sequence[Hit]], top_k: int) -> tuple[list[Candidate], list[Reason]]:
        """The Top-K, and notes on what the floor did to it."""
        candidates = fuse(found, limit=top_k)
        if self.min_score is None or not found:
            return candidates[:top_k], []
        if DENSE not in found:
            return candidates[:top_k], [Reason("retrieval.floor-without-cosine")]
        kept, notes = above_floor(candidates, found[DENSE], self.min_score)
        best = enumerate(kept[:top_k], start=1)
        return [one.ranked("retrieval", rank) for rank, one in best], notes

    def _dense_leg(self, query: str, passage: str) -> tuple[list[Leg], list[Reason], Usage]:
        """The leg if it can run, complaints, and what it cost."""
        if self.mode == "lexical":
            return [], [], Usage()
        if not self.encoder.reads(query):
            return [], [unreadable_question()], Usage()
        try:
            if passage and self.encoder.reads(passage):
                encoding = self.encoder.encode_passages([passage], tokens=False)[0]
            else:
                encoding = self.encoder.encode_query(query)
        except ModelError as error:  # an endpoint may be down while the words can still be looked up
            if self.mode == "dense":
                raise
            return [], [Reason("retrieval.no-dense-search", error=str(error))], Usage()
        complaints = [Reason("retrieval.question-cut")] if encoding.truncated and not passage else []
        return [Leg(DENSE, encoding.dense, self.exact)], complaints, encoding.usage

    def _lexical_leg(self, query: str) -> tuple[list[Leg], list[Reason]]:
        if self.mode == "dense":
            return [], []
        terms = self.terms.encode_query(query)
        if not terms.indices:
            return [], [Reason("retrieval.no-searchable-word")]
        return [Leg(LEXICAL, terms)], []


def few_hold_a_word(found: Mapping[str, Sequence[Hit]], limit: int) -> list[Reason]:
    """A note where lexical search ended before its limit, unless dense search found no more."""
    if LEXICAL not in found:
        return []
    holding = {hit.chunk.id for hit in found[LEXICAL]}
    more = DENSE not in found or any(hit.chunk.id not in holding for hit in found[DENSE])
    return [Reason("retrieval.few-hold-a-word", n=len(holding))] if len(holding) < limit and more else []


def above_floor(
    candidates: Sequence[Candidate], dense: Sequence[Hit], floor: float
) -> tuple[list[Candidate], list[Reason]]:
    """The candidates whose cosine is `floor` or more, in their order, and notes on the others.

    Only the cosine of the dense leg means the same for every question: BM25 has no upper end, and a fused
    score is relative to the best hit. A candidate that the dense leg did not find is no nearer than the last
    one that it did, and is treated like that one. One that the encoder cannot read has no cosine, and stays.
    """
    last = min((hit.score for hit in dense), default=floor)
    kept = [one for one in candidates if not one.chunk.legible or one.scores.get(DENSE, last) >= floor]
    notes = []
    if cut := len(candidates) - len(kept):
        notes.append(Reason("retrieval.below-floor", n=cut, of=len(candidates), floor=floor))
    if unread := sum(not one.chunk.legible for one in kept):
        notes.append(Reason("retrieval.unread-stay", n=unread))
    return kept, notes
