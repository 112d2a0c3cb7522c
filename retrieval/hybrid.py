"""The hybrid query: a dense and a lexical leg in one batch, fused into the Top-K."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import anyio.to_thread

from retrieval.fusion import fuse
from retrieval.score_floor import floored
from storage.errors import BadInputError, ModelError
from storage.qdrant.conditions import Condition
from storage.qdrant.contract import DENSE, LEXICAL, Searcher
from storage.records import UNREADABLE_QUESTION, Candidate, Outcome, Retrieval, Usage
from storage.vectors import Encoding, Hit, Leg, SparseVector

Mode = Literal["hybrid", "dense", "lexical"]


class QueryEncoder(Protocol):
    """What the dense leg needs of an encoder."""

    def reads(self, text: str) -> bool: ...

    def encode_query(self, text: str) -> Encoding: ...


class QueryTerms(Protocol):
    """What the lexical leg needs."""

    def encode_query(self, text: str) -> SparseVector: ...


class HybridRetriever:
    """Dense and BM25 legs over one collection. `mode` switches a leg off, `where` filters both.

    `min_score` is the cosine that a candidate must reach. `exact` scans instead of using the graph.
    """

    def __init__(
        self,
        searcher: Searcher,
        encoder: QueryEncoder,
        terms: QueryTerms,
        *,
        mode: Mode = "hybrid",
        where: Condition | None = None,
        min_score: float | None = None,
        exact: bool = False,
    ) -> None:
        if min_score is not None and mode == "lexical":
            raise BadInputError(
                "min_score is a cosine, which lexical search has none of",
                way_out="Leave it out, or set retrieval.mode to hybrid or dense.",
            )
        self._searcher = searcher
        self._encoder = encoder
        self._terms = terms
        self._mode = mode
        self._where = where
        self._min_score = min_score
        self._exact = exact

    async def search(self, query: str, top_k: int) -> Retrieval:
        """At most `top_k` candidates, best first. A leg that cannot run makes the outcome `partial`."""
        return await anyio.to_thread.run_sync(self._search, query, top_k)

    def _search(self, query: str, top_k: int) -> Retrieval:
        started = time.perf_counter()
        dense, reasons, usage = self._dense_leg(query)
        lexical, more = self._lexical_leg(query)
        legs, reasons = [*dense, *lexical], [*reasons, *more]
        hits = self._searcher.search(legs, top_k, self._where) if legs else []
        found = {leg.name: found for leg, found in zip(legs, hits, strict=True)}
        candidates, note = self._fused(found, top_k)
        return Retrieval(
            tuple(candidates),
            Outcome(
                "retrieval",
                "partial" if reasons else "ok",
                "; ".join([*reasons, *note]),
                ms=(time.perf_counter() - started) * 1000,
                usage=usage,
            ),
        )

    def _fused(self, found: Mapping[str, Sequence[Hit]], top_k: int) -> tuple[list[Candidate], list[str]]:
        """The Top-K, and what the floor did to it."""
        if self._min_score is None or not found:
            return fuse(found, limit=top_k), []
        if DENSE not in found:
            return fuse(found, limit=top_k), ["min_score is a cosine, and there is none: nothing was cut"]
        everything = fuse(found, limit=sum(map(len, found.values())))
        left = floored(everything, found[DENSE], self._min_score)
        best = enumerate(left.candidates[:top_k], start=1)
        return [one.ranked("retrieval", rank) for rank, one in best], [left.note] if left.note else []

    def _dense_leg(self, query: str) -> tuple[list[Leg], list[str], Usage]:
        """The leg or none, what went wrong, and what it cost."""
        if self._mode == "lexical":
            return [], [], Usage()
        if not self._encoder.reads(query):
            return [], [UNREADABLE_QUESTION], Usage()
        try:
            encoding = self._encoder.encode_query(query)
        except ModelError as error:  # an endpoint may be down while the words can still be looked up
            if self._mode == "dense":
                raise
            return [], [f"no dense search: {error}"], Usage()
        cut = "the question is longer than the encoder reads: its end was not searched for"
        return [Leg(DENSE, encoding.dense, self._exact)], [cut] if encoding.truncated else [], encoding.usage

    def _lexical_leg(self, query: str) -> tuple[list[Leg], list[str]]:
        if self._mode == "dense":
            return [], []
        terms = self._terms.encode_query(query)
        if not terms.indices:
            return [], ["the question has no searchable word: no lexical search"]
        return [Leg(LEXICAL, terms)], []
