"""LlamaIndex: winnow as a retriever, and its rerank stage as a node postprocessor.

retriever = WinnowRetriever(RAGPipeline.from_settings())
postprocessor = WinnowReranker(spec="cross-encoder", top_n=5)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import PrivateAttr

from storage.errors import BadInputError
from winnow.integrations.passages import Passage, TextRanking, missing, passages
from winnow.pipeline import RAGPipeline

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
except ImportError as error:
    raise missing("LlamaIndex", "llama-index-core") from error


class WinnowRetriever(BaseRetriever):
    """The best passages of a pipeline's collection. The wishes are those of `RAGPipeline.search`."""

    def __init__(
        self,
        pipeline: RAGPipeline,
        *,
        top_k: int = 5,
        rerank: str | None = None,
        collection: str | None = None,
        where: str | None = None,
    ) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._top_k = top_k
        self._wishes: dict[str, Any] = {"rerank": rerank, "collection": collection, "where": where}

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._pipeline.search(query_bundle.query_str, None, self._top_k, **self._wishes)
        return _nodes(passages(found))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = await self._pipeline.asearch(query_bundle.query_str, None, self._top_k, **self._wishes)
        return _nodes(passages(found))


class WinnowReranker(BaseNodePostprocessor):
    """Keeps the best `top_n` nodes by a rerank spec (None: that of the settings), with their scores."""

    spec: str | None = None
    top_n: int = 5

    _ranking: TextRanking = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Prepare what ranks; models are loaded with the first nodes."""
        super().model_post_init(context)
        self._ranking = TextRanking(self.spec)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows it."""
        return "WinnowReranker"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise BadInputError("a reranker needs the question", way_out="Give query_bundle or query_str.")
        texts = [one.node.get_content(metadata_mode=MetadataMode.NONE) for one in nodes]
        ranked = self._ranking.rank(query_bundle.query_str, texts, self.top_n)
        return [NodeWithScore(node=nodes[place].node, score=score) for place, score in ranked]

    def close(self) -> None:
        """Let go of the models."""
        self._ranking.close()


def _nodes(found: Sequence[Passage]) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(id_=one.id, text=one.text, metadata=dict(one.metadata)), score=one.score)
        for one in found
    ]
