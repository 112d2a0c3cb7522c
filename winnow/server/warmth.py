"""Readiness: models loaded and the store reachable, so that a question is answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.errors import WinnowError
from winnow.server.batching import shared
from winnow.server.errors import NotReadyError

if TYPE_CHECKING:
    from winnow.pipeline import RAGPipeline


class Warmth:
    """Loads what the first question would otherwise wait for, once; remembers what kept it from that."""

    def __init__(self, pipeline: RAGPipeline) -> None:
        self._pipeline = pipeline
        pipeline.wiring.wrap_encoder(shared)
        self._warm = False
        self._failure: WinnowError | None = None

    def warm(self) -> None:
        """Blocking. What fails is `check`'s to say."""
        try:
            self._pipeline.warm()
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
