"""Shared by the adapters: passages of a pipeline, and the ranking of a framework's own texts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from storage.errors import MissingDependencyError
from winnow.app import portal

if TYPE_CHECKING:
    from rerank.chain import Chain
    from storage.records import Candidate, Outcome, Ranking
    from winnow.app.stages import SearchResult
    from winnow.app.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage or a text, best first; `score` is the last stage's, where it gave one."""

    id: str
    text: str
    score: float | None
    metadata: Mapping[str, Any]


def passages(result: SearchResult) -> list[Passage]:
    """The final passages of a search, as an answerer would see them; problems are Python's warnings."""
    _warn(result.stages)
    stages = [outcome.name for outcome in result.stages]
    return [
        Passage(one.id, one.text, _score(one, stages), _metadata(one, rank))
        for rank, one in enumerate(result.passages, 1)
    ]


@dataclass(slots=True)
class TextRanking:
    """Ranks texts by a rerank spec (None: that of the settings). Models are loaded once, on first use.

    A stage that falls short is said as one of Python's warnings.
    """

    spec: str | None = None
    _wiring: Wiring | None = field(default=None, init=False)
    _chain: Chain | None = field(default=None, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def rank(self, question: str, texts: Sequence[str], top_k: int) -> list[tuple[int, float | None]]:
        """The places of the best texts in `texts`, best first, each with its score.

        Raises SpecError, BadInputError, ModelError.
        """
        if not texts:
            return []
        chain = self._loaded()
        return _places(portal.call(lambda: chain.rerank(question, _candidates(texts), top_k)))

    async def arank(self, question: str, texts: Sequence[str], top_k: int) -> list[tuple[int, float | None]]:
        """`rank`, awaited."""
        from anyio.to_thread import run_sync

        if not texts:
            return []
        chain = await run_sync(self._loaded)
        return _places(await portal.acall(lambda: chain.rerank(question, _candidates(texts), top_k)))

    def close(self) -> None:
        """Close what was opened for ranking, and let go of the models; the next texts load them again."""
        with self._lock:
            if self._wiring is not None:
                self._wiring.close()
            self._wiring = self._chain = None

    def _loaded(self) -> Chain:
        from winnow.app.settings import Settings
        from winnow.app.wiring import Wiring

        with self._lock:
            if self._chain is None:
                settings = Settings.load()
                wiring = Wiring(settings)
                try:
                    self._chain = wiring.reranker(None, wiring.encoder, self.spec or settings.rerank.spec)
                except BaseException:
                    wiring.close()
                    raise
                self._wiring = wiring
            return self._chain


def missing(framework: str, package: str) -> MissingDependencyError:
    """The error where an adapter's framework is not installed."""
    return MissingDependencyError(f"{framework} is not installed", way_out=f"pip install {package}")


def _candidates(texts: Sequence[str]) -> list[Candidate]:
    from storage.records import Candidate

    return [Candidate.from_text(text, id=str(place)) for place, text in enumerate(texts)]


def _places(ranking: Ranking) -> list[tuple[int, float | None]]:
    _warn(ranking.outcomes)
    stages = [outcome.name for outcome in ranking.outcomes]
    return [(int(one.id), _score(one, stages)) for one in ranking.candidates]


def _warn(outcomes: Sequence[Outcome]) -> None:
    """Warn of each problem; Python says the same one once. A framework's own result has no place for it."""
    from winnow.app.stages import warnings_of

    for reason in warnings_of(outcomes):
        warnings.warn(reason, RuntimeWarning, stacklevel=2)


def _score(candidate: Candidate, stages: Sequence[str]) -> float | None:
    return next((candidate.scores[stage] for stage in reversed(stages) if stage in candidate.scores), None)


def _metadata(candidate: Candidate, rank: int) -> dict[str, Any]:
    chunk = candidate.chunk
    own = {
        "source": chunk.source,
        "title": chunk.title,
        "headings": list(chunk.headings),
        **({"about": chunk.about} if chunk.about else {}),
        "page": chunk.page,
        "start": chunk.start,
        "end": chunk.end,
        "rank": rank,
    }
    kept = {
        name: list(value) if isinstance(value, tuple) else value for name, value in chunk.metadata.items()
    }
    return {**kept, **own}
