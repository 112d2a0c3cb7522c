"""Data folders with documents of both languages, ingested once, and a pipeline over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pipeline_documents import DOCUMENTS, ENGLISH, TEXTS
from winnow import RAGPipeline, Settings


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the three documents, below a path with a space and Chinese characters."""
    root = tmp_path_factory.mktemp("数据 data")
    (root / "docs").mkdir()
    for name, text in DOCUMENTS.items():
        (root / "docs" / name).write_text(text, encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data")) as pipeline:
        report = pipeline.ingest(root / "docs")
        assert report.totals["ingested"] == 3
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data", **ENGLISH)) as pipeline:
        pipeline.ingest(root / "docs")
    return root


@pytest.fixture
def pipeline(ingested: Path) -> Iterator[RAGPipeline]:
    """An open pipeline over that folder."""
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested / "data")) as opened:
        yield opened


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three documents to ask a chat model about."""
    root = tmp_path_factory.mktemp("stream")
    (root / "docs").mkdir()
    for name, text in TEXTS.items():
        (root / "docs" / name).write_text(text, encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data")) as pipeline:
        pipeline.ingest(root / "docs")
    return root / "data"
