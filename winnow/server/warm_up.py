"""Readiness: load models and open the store before the first question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.errors import WinnowError
from winnow.server.batching import shared
from winnow.server.errors import NotReadyError

if TYPE_CHECKING:
    from winnow.pipeline import RAGPipeline


class WarmUp:
    """Loads once what the first question would wait for, and remembers why that failed."""

    def __init__(self, pipeline: RAGPipeline) -> None:
        self._pipeline = pipeline
        pipeline.wiring.wrap_encoder(shared)
        self._warm = False
        self._failure: WinnowError | None = None

    def run(self) -> None:
        """Load the models; `check` reports a failure. Blocking."""
        try:
            self._pipeline.warm()
        except WinnowError as error:
            self._failure = error
        except Exception as error:
            self._failure = WinnowError(f"the models cannot be loaded: {error}", way_out="Ask winnow doctor.")
            raise
        else:
            self._failure, self._warm = None, True

    @property
    def loading(self) -> bool:
        """True until the models are there, or cannot be loaded."""
        return not self._warm and self._failure is None

    def check(self) -> int:
        """Return the number of collections. Raises NotReadyError, or the store's or the database's error."""
        if not self._warm:
            if self._failure is not None:
                self.run()  # what was missing may be there by now
            if self._failure is not None:
                raise NotReadyError(str(self._failure), way_out=self._failure.way_out) from self._failure
        if self.loading:
            raise NotReadyError("models are being loaded", way_out="Ask again in a few seconds.")
        if self._pipeline.wiring.has_database:
            self._pipeline.wiring.database.check()
        return len(self._pipeline.wiring.stores.names())
