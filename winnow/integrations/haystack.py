"""Haystack: winnow as a retriever component, and its rerank stage as a ranker.

pipe.add_component("retriever", WinnowRetriever(RAGPipeline.from_settings()))
pipe.add_component("ranker", WinnowRanker(spec="cross-encoder", top_k=5))
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from winnow.integrations.passages import TextRanking, missing, passages
from winnow.pipeline import RAGPipeline

try:
    from haystack import Document, component, default_to_dict
except ImportError as error:
    raise missing("Haystack", "haystack-ai") from error


@component
class WinnowRetriever:
    """The best passages of a pipeline's collection. The wishes are those of `RAGPipeline.search`.

    Without a `pipeline`, as one that is loaded from YAML has none, it is made of the settings on first use.
    """

    def __init__(
        self,
        pipeline: RAGPipeline | None = None,
        *,
        top_k: int = 5,
        rerank: str | None = None,
        collection: str | None = None,
        where: str | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._own: RAGPipeline | None = None
        self._top_k = top_k
        self._wishes: dict[str, Any] = {"rerank": rerank, "collection": collection, "where": where}

    def to_dict(self) -> dict[str, Any]:
        """The component without its pipeline, as Haystack saves it."""
        saved: dict[str, Any] = default_to_dict(self, top_k=self._top_k, **self._wishes)
        return saved

    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """The best passages, best first, under `documents`."""
        pipeline = self._pipeline or self._own
        if pipeline is None:
            pipeline = self._own = RAGPipeline.from_settings()
        found = passages(pipeline.search(query, None, top_k or self._top_k, **self._wishes))
        return {
            "documents": [
                Document(id=one.id, content=one.text, meta=dict(one.metadata), score=one.score)
                for one in found
            ]
        }

    def close(self) -> None:
        """Close the pipeline that it made of the settings, if any; one that it was given stays open."""
        if self._own is not None:
            self._own.close()
            self._own = None


@component
class WinnowRanker:
    """Keeps the best `top_k` documents by a rerank spec (None: that of the settings), with their scores."""

    def __init__(self, spec: str | None = None, *, top_k: int = 5) -> None:
        self._spec = spec
        self._top_k = top_k
        self._ranking = TextRanking(spec)

    def to_dict(self) -> dict[str, Any]:
        """The component as Haystack saves it."""
        saved: dict[str, Any] = default_to_dict(self, spec=self._spec, top_k=self._top_k)
        return saved

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The best documents, best first, under `documents`; those without text are left out."""
        texts = [one for one in documents if one.content]
        ranked = self._ranking.rank(query, [one.content or "" for one in texts], top_k or self._top_k)
        return {"documents": [replace(texts[place], score=score) for place, score in ranked]}

    def close(self) -> None:
        """Let go of the models."""
        self._ranking.close()
