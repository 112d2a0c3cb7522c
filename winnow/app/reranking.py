"""Reranking without a store, for people with their own retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from winnow.app import portal
from winnow.app.settings import Settings

if TYPE_CHECKING:
    from rerank.texts import RankedTexts


def rerank(
    question: str,
    texts: Sequence[str],
    spec: str | None = None,
    *,
    top_k: int | None = None,
    settings: Settings | None = None,
) -> RankedTexts:
    """Return the best `top_k` (default: all) of the texts, best first, by any rerank spec.

    `spec` defaults to that of the settings. A result's `index` is its place in `texts`, which tells equal
    texts apart. Each call loads its models again: keep a `RAGPipeline` for many questions.
    """
    from rerank.texts import rerank_texts
    from winnow.app.wiring import Wiring

    chosen = settings or Settings.load()
    with Wiring(chosen) as wiring:
        parts = wiring.rerank_parts(None, wiring.encoder)
        return portal.call(
            lambda: rerank_texts(question, texts, spec or chosen.rerank.spec, parts, top_k=top_k)
        )
