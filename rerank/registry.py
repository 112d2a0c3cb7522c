"""Strategies by name. A third-party package adds its own through the entry point group `winnow.rerankers`.

Importing this module loads no strategy; a strategy's module loads no model library before its `load` runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

from rerank.base import Reranker
from rerank.parts import RerankParts
from rerank.spec import PRESETS, Value
from storage.errors import SpecError, WinnowError
from storage.reasons import Reason

GROUP = "winnow.rerankers"

STRATEGIES: Mapping[str, str] = {
    "none": "rerank.strategies.none:NoRerank",
    "late-interaction": "rerank.strategies.late_interaction:LateInteraction",
    "cross-encoder": "rerank.strategies.cross_encoder:CrossEncoder",
    "fusion": "rerank.strategies.fusion:Fusion",
    "diversity": "rerank.strategies.diversity:Diversity",
    "recency": "rerank.strategies.recency:Recency",
    "boost": "rerank.strategies.boost:Boost",
    "api": "rerank.strategies.api:Api",
    "decision": "rerank.strategies.decision:DecisionModel",
    "pointwise": "rerank.strategies.pointwise:Pointwise",
    "listwise": "rerank.strategies.listwise:Listwise",
    "pairwise": "rerank.strategies.pairwise:Pairwise",
    "setwise": "rerank.strategies.setwise:Setwise",
    "tournament": "rerank.strategies.tournament:Tournament",
}


class Strategy(Protocol):
    """The class of a strategy; `needs` and `calls` help people to choose."""

    needs: str

    @staticmethod
    def calls(n: int, k: int) -> int:
        """The network calls of a model to find the best `k` of `n`, with default options."""
        ...

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Reranker:
        """A ready strategy. Raises SpecError for unknown or invalid options."""
        ...


@dataclass(frozen=True, slots=True)
class Description:
    """One line of `winnow rerankers list`. `calls` is None where a third-party strategy does not tell."""

    name: str
    needs: str
    calls: int | None
    origin: str


def strategy(name: str) -> type[Strategy]:
    """The class of a strategy. Raises SpecError, which names the nearest, for an unknown name."""
    if name in STRATEGIES:
        module, _, attribute = STRATEGIES[name].partition(":")
        return cast("type[Strategy]", getattr(import_module(module), attribute))
    added = _added()
    if name in added:
        return _loaded(added[name])
    names = [*STRATEGIES, *sorted(added)]
    close = get_close_matches(name, [*names, *PRESETS], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise SpecError(
        f"there is no rerank strategy {name!r}{hint}",
        way_out=f"Strategies: {', '.join(names)}. Presets: {', '.join(PRESETS)}.",
    )


def describe(n: int = 50, k: int = 5) -> list[Description]:
    """Every strategy with its needs and its calls over the network for the best `k` of `n`."""
    own = [_described(name, strategy(name), "winnow", n, k) for name in STRATEGIES]
    return own + [_described_addition(name, entry, n, k) for name, entry in sorted(_added().items())]


def _described(name: str, cls: type[Strategy], origin: str, n: int, k: int) -> Description:
    calls = cls.calls(n, k) if callable(getattr(cls, "calls", None)) else None
    return Description(name, getattr(cls, "needs", ""), calls, origin)


def _described_addition(name: str, entry: EntryPoint, n: int, k: int) -> Description:
    try:
        return _described(name, _loaded(entry), entry.value, n, k)
    except WinnowError as error:  # a broken package must not hide the others from the list
        return Description(name, Reason("rerank.strategy-unloadable", error=str(error)), None, entry.value)


def _added() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in STRATEGIES}


def _loaded(entry: EntryPoint) -> type[Strategy]:
    try:
        return cast("type[Strategy]", entry.load())
    except Exception as error:
        raise SpecError(
            f"the rerank strategy {entry.name!r} ({entry.value}) cannot be loaded: {error}",
            way_out="Fix or uninstall the package that provides it.",
        ) from error
