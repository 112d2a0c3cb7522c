"""LangChain: winnow as a retriever, and its rerank stage as a document compressor.

retriever = WinnowRetriever(pipeline=RAGPipeline.from_settings())
compressor = WinnowReranker(spec="cross-encoder", top_n=5)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict, PrivateAttr

from winnow.integrations.passages import Passage, TextRanking, missing, passages
from winnow.pipeline import RAGPipeline

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
        Callbacks,
    )
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise missing("LangChain", "langchain-core") from error


class WinnowRetriever(BaseRetriever):
    """The best passages of a pipeline's collection. The wishes are those of `RAGPipeline.search`."""

    pipeline: RAGPipeline
    top_k: int = 5
    rerank: str | None = None
    collection: str | None = None
    where: str | None = None

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return _documents(passages(self.pipeline.search(query, None, self.top_k, **self._wishes())))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        found = await self.pipeline.asearch(query, None, self.top_k, **self._wishes())
        return _documents(passages(found))

    def _wishes(self) -> dict[str, Any]:
        return {"rerank": self.rerank, "collection": self.collection, "where": self.where}


class WinnowReranker(BaseDocumentCompressor):
    """Keeps the best `top_n` documents by a rerank spec (None: that of the settings), with their scores."""

    spec: str | None = None
    top_n: int = 5

    _ranking: TextRanking = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Prepare what ranks; models are loaded with the first documents."""
        self._ranking = TextRanking(self.spec)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The best documents, best first; `relevance_score` is in their metadata."""
        ranked = self._ranking.rank(query, [one.page_content for one in documents], self.top_n)
        return _scored(documents, ranked)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """`compress_documents`, awaited."""
        ranked = await self._ranking.arank(query, [one.page_content for one in documents], self.top_n)
        return _scored(documents, ranked)

    def close(self) -> None:
        """Let go of the models."""
        self._ranking.close()


def _documents(found: Sequence[Passage]) -> list[Document]:
    return [
        Document(id=one.id, page_content=one.text, metadata={**one.metadata, "relevance_score": one.score})
        for one in found
    ]


def _scored(documents: Sequence[Document], ranked: Sequence[tuple[int, float | None]]) -> list[Document]:
    return [
        documents[place].model_copy(
            update={"metadata": {**documents[place].metadata, "relevance_score": score}}
        )
        for place, score in ranked
    ]
