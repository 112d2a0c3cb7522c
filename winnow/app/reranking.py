"""Reranking without a store: for people who have their own retrieval."""

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
    """The best `top_k` (all, if not given) of the texts, best first, by any rerank spec.

    Without `spec` that of the settings is taken. A result's `index` is its place in `texts`, so that equal
    texts stay apart. Models load anew for each call: keep a `RAGPipeline` where many questions are asked.
    """
    from rerank.texts import rerank_texts
    from winnow.app.wiring import Wiring

    chosen = settings or Settings.load()
    with Wiring(chosen) as wiring:
        parts = wiring.rerank_parts(None)
        return portal.call(
            lambda: rerank_texts(question, texts, spec or chosen.rerank.spec, parts, top_k=top_k)
        )
