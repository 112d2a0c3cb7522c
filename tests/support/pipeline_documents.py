"""Documents that pipelines of tests answer from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval.models.hub import MINILM
from winnow import RAGPipeline, Settings

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


def filled(root: Path, documents: Mapping[str, str]) -> Path:
    """Write documents below `root/docs`, ingest them, and return the data folder."""
    (root / "docs").mkdir()
    for name, text in documents.items():
        (root / "docs" / name).write_text(text, encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data")) as pipeline:
        assert pipeline.ingest(root / "docs").totals["ingested"] == len(documents)
    return root / "data"
