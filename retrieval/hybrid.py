"""The hybrid query: a dense and a lexical leg in one batch, fused into the Top-K."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, Protocol

import anyio.to_thread

from retrieval.fusion import fuse
from storage.conditions import Condition
from storage.records import UNREADABLE_QUESTION, Outcome, Retrieval
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
        legs, reasons = self._legs(query)
        hits = self._searcher.search(legs, top_k, self._where) if legs else []
        found = {leg.name: found for leg, found in zip(legs, hits, strict=True)}
        return Retrieval(
            tuple(fuse(found, limit=top_k)),
            Outcome(
                "retrieval",
                "partial" if reasons else "ok",
                "; ".join(reasons),
                ms=(time.perf_counter() - started) * 1000,
            ),
        )

    def _legs(self, query: str) -> tuple[Sequence[Leg], Sequence[str]]:
        legs: list[Leg] = []
        reasons: list[str] = []
        if self._mode != "lexical":
            if self._encoder.reads(query):
                encoding = self._encoder.encode_query(query)
                legs.append(Leg(DENSE, encoding.dense))
                if encoding.truncated:
                    reasons.append(
                        "the question is longer than the encoder reads: its end was not searched for"
                    )
            else:
                reasons.append(UNREADABLE_QUESTION)
        if self._mode != "dense":
            terms = self._terms.encode_query(query)
            if terms.indices:
                legs.append(Leg(LEXICAL, terms))
            else:
                reasons.append("the question has no searchable word: no lexical search")
        return legs, reasons
