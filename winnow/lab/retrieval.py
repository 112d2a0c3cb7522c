"""winnow's own retrieval over any index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrieval.hybrid import HybridRetriever, Mode

if TYPE_CHECKING:
    from storage.qdrant.contract import Searcher
    from winnow.app.wiring import Wiring


def hybrid_retriever(searcher: Searcher, wiring: Wiring, mode: Mode | None = None) -> HybridRetriever:
    """A retriever in the given mode, or the configured one."""
    mode = mode or wiring.settings.retrieval.mode
    return HybridRetriever(searcher, wiring.encoder, wiring.lexical, mode=mode)
