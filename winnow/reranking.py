"""Reranking without a store: for people who have their own retrieval."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import Candidate, Ranking
from winnow import portal
from winnow.settings import Settings


def rerank(
    question: str,
    texts: Sequence[str],
    spec: str | None = None,
    *,
    top_k: int = 5,
    settings: Settings | None = None,
) -> Ranking:
    """The best `top_k` of the texts, best first, by any rerank spec (default: that of the settings).

    A candidate's id is the text's place (from 0) in `texts`, so that equal texts stay apart. Models load anew
    for each call: keep a `RAGPipeline` where many questions are asked.
    """
    from rerank.chain import Chain
    from rerank.spec import Spec
    from winnow.wiring import Wiring

    chosen = settings or Settings.load()
    candidates = [
        Candidate.from_text(text, id=str(place)).ranked("retrieval", place + 1)
        for place, text in enumerate(texts)
    ]
    with Wiring(chosen) as wiring:
        chain = Chain.load(Spec.parse(spec or chosen.rerank.spec, top_k=top_k), wiring.rerank_parts(None))
        return portal.call(chain.rerank, question, candidates, top_k)
