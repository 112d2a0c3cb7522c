"""Decisions: a model that answers typed questions says of each passage how probably it helps. N calls.

System One's form (`POST /v1/systemone`: TypeSafe's Jev, OpenJev, the servers that speak it): a state, here
the question with one passage, and a yes-or-no question about it, answered with a calibrated probability. So a
score means the same for every question, and `min_score=0.5` drops what probably does not help.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar, Self

from pydantic import Field

from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.spec import Value
from rerank.strategies.api import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOptions:
    """`url`: a server of one's own that speaks the form. `instruction`: the question about each passage."""

    url: str = ""
    model: str = ""
    instruction: str | None = None
    timeout_s: Annotated[float, Field(ge=0.001)] = 30.0
    retries: Annotated[int, Field(ge=0)] = 2


class DecisionModel(Api):
    """Scores are probabilities, 0 to 1."""

    needs = "a decision model"
    declares: ClassVar[type[object]] = DecisionOptions

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Self:
        given = asdict(read_options(DecisionOptions, name, options))
        chosen = {key: value for key, value in given.items() if value is not None}
        return super().load(parts, name, profile="typesafe", **chosen)

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - every passage is decided on
        return n
