"""`/healthz` and `/readyz`: whether the process lives, and whether a question would be answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from storage.errors import WinnowError
from winnow import __version__
from winnow.server.batching import shared
from winnow.server.documented import problems
from winnow.server.errors import NotReadyError
from winnow.server.schemas_answers import Health, Readiness
from winnow.server.served import State, in_thread

if TYPE_CHECKING:
    from winnow.pipeline import RAGPipeline

router = APIRouter(tags=["health"])


class Warmth:
    """Loads what the first question would otherwise wait for, once; remembers what kept it from that."""

    def __init__(self, pipeline: RAGPipeline) -> None:
        self._pipeline = pipeline
        self._warm = False
        self._failure: WinnowError | None = None

    def warm(self) -> None:
        """Blocking. What fails is `check`'s to say."""
        try:
            self._pipeline.warm(through=shared)
        except WinnowError as error:
            self._failure = error
        else:
            self._failure, self._warm = None, True

    def check(self) -> int:
        """How many collections there are. Raises NotReadyError, or what the store raises."""
        if not self._warm:
            if self._failure is not None:
                self.warm()  # what was missing may have come
            if self._failure is not None:
                raise NotReadyError(str(self._failure), way_out=self._failure.way_out) from self._failure
        if not self._warm:
            raise NotReadyError("models are being loaded", way_out="Ask again in a few seconds.")
        return len(self._pipeline.wiring.stores.names())


@router.get("/healthz", response_model=Health, responses=problems(403))
async def healthz() -> Any:
    """The process answers."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz", response_model=Readiness, responses=problems(403, 500, 503))
async def readyz(served: State) -> Any:
    """Models are loaded and the store answers."""
    return {"status": "ready", "collections": await in_thread(served.warmth.check)}
