"""The hybrid query: a dense and a lexical leg in one batch, fused into the Top-K."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, Protocol

import anyio.to_thread

from retrieval.fusion import fuse
from storage.conditions import Condition
from storage.errors import ModelError
from storage.records import UNREADABLE_QUESTION, Outcome, Retrieval, Usage
from storage.store import DENSE, LEXICAL, Searcher
from storage.vectors import Encoding, Leg, SparseVector

Mode = Literal["hybrid", "dense", "lexical"]


class QueryEncoder(Protocol):
    """What the dense leg needs of an encoder."""

    def reads(self, text: str) -> bool: ...

    def encode_query(self, text: str) -> Encoding: ...


class QueryTerms(Protocol):
    """What the lexical leg needs."""

    def encode_query(self, text: str) -> SparseVector: ...


class HybridRetriever:
    """Dense and BM25 legs over one collection. `mode` switches a leg off, `where` filters both."""

    def __init__(
        self,
        searcher: Searcher,
        encoder: QueryEncoder,
        terms: QueryTerms,
        *,
        mode: Mode = "hybrid",
        where: Condition | None = None,
    ) -> None:
        self._searcher = searcher
        self._encoder = encoder
        self._terms = terms
        self._mode = mode
        self._where = where

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
        return Retrieval(
            tuple(fuse(found, limit=top_k)),
            Outcome(
                "retrieval",
                "partial" if reasons else "ok",
                "; ".join(reasons),
                ms=(time.perf_counter() - started) * 1000,
                usage=usage,
            ),
        )

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
        return [Leg(DENSE, encoding.dense)], [cut] if encoding.truncated else [], encoding.usage

    def _lexical_leg(self, query: str) -> tuple[list[Leg], list[str]]:
        if self._mode == "dense":
            return [], []
        terms = self._terms.encode_query(query)
        if not terms.indices:
            return [], ["the question has no searchable word: no lexical search"]
        return [Leg(LEXICAL, terms)], []
