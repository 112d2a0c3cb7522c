"""No reranking: the retrieval order stays. The baseline of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank.base import LocalStrategy, in_order
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.spec import Value
from storage.records import Candidate, Outcome, Ranking


@dataclass(frozen=True, slots=True)
class NoOptions:
    """A strategy without options."""


class NoRerank(LocalStrategy):
    """Keeps the incoming order and cuts it to `top_k`."""

    needs = "nothing"
    declares = NoOptions
    scores = False

    def __init__(self, name: str = "none") -> None:
        self.name = name

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> NoRerank:  # noqa: ARG003 - nothing is needed
        read_options(NoOptions, name, options)
        return cls(name)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:  # noqa: ARG002
        return in_order(self.name, [(candidate, None) for candidate in candidates], top_k, Outcome(self.name))
