"""winnow: retrieve 50, keep the best 5, answer with citations, log every rank, replay any answer.

    from winnow import RAGPipeline

    with RAGPipeline.from_settings() as pipeline:
        pipeline.ingest("docs/")
        print(pipeline("What does reranking change?"))

Importing this loads neither torch nor Qdrant; names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.version import __version__ as __version__

if TYPE_CHECKING:
    from generation.followup import Turn
    from storage.errors import WinnowError
    from storage.records import Answer, Candidate, Chunk, Citation, Generation, Outcome, Ranking, Retrieval
    from winnow.app.asked import Asked
    from winnow.app.reranking import rerank
    from winnow.app.settings import Settings
    from winnow.app.stages import SearchResult
    from winnow.pipeline import RAGPipeline

__all__ = [
    "Answer",
    "Asked",
    "Candidate",
    "Chunk",
    "Citation",
    "Generation",
    "Outcome",
    "RAGPipeline",
    "Ranking",
    "Retrieval",
    "SearchResult",
    "Settings",
    "Turn",
    "WinnowError",
    "rerank",
]

_RECORDS = ("Answer", "Candidate", "Chunk", "Citation", "Generation", "Outcome", "Ranking", "Retrieval")
_HOMES = {
    **dict.fromkeys(_RECORDS, "storage.records"),
    "Asked": "winnow.app.asked",
    "Turn": "generation.followup",
    "WinnowError": "storage.errors",
    "SearchResult": "winnow.app.stages",
    "RAGPipeline": "winnow.pipeline",
    "Settings": "winnow.app.settings",
    "rerank": "winnow.app.reranking",
}

_STAGES = ("storage", "ingest", "retrieval", "rerank", "generation")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'winnow' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def _refuse_shadows() -> None:
    """The stage folders are top-level packages; a namesake earlier on the path would take their place."""
    home = Path(__file__).resolve().parent.parent
    for stage in _STAGES:
        spec = find_spec(stage)
        places = [Path(place).resolve() for place in (spec.submodule_search_locations or [])] if spec else []
        if places[:1] != [home / stage]:
            found = places[0] if places else (spec.origin if spec else "nothing")
            raise ImportError(
                f"winnow's own package {stage!r} is at {home / stage}, but Python finds {found} first. "
                f"Rename that one, or start Python from another folder."
            )


_refuse_shadows()
