"""Documents that pipelines of tests answer from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrieval.models.hub import MINILM

DOCUMENTS: Mapping[str, str] = {
    "rerank.md": "# Reranking\n\nReranking reorders the candidates that retrieval found.\n\n"
    "## Limits\n\nA reranker cannot bring back a passage that retrieval missed.\n",
    "fruit.txt": "Bananas are rich in potassium. Apples keep well in a cool cellar.\n",
    "重排.md": "# 重排序\n\n重排序把最相关的段落排在最前面。召回阶段漏掉的段落，重排序无法找回。\n",
}
# A collection of the same documents whose encoder reads no Chinese.
ENGLISH: dict[str, Any] = {"encoder": {"model": MINILM}, "collection": "english"}
# What is asked of a chat model.
TEXTS = {
    "fruit.txt": "Bananas are rich in potassium. Apples keep well in a cool cellar.\n",
    "rerank.md": "# Reranking\n\nReranking reorders the candidates that retrieval found.\n",
    "hamlet.txt": "Hamlet was written by William Shakespeare. Shakespeare wrote Hamlet around 1600.\n",
}
