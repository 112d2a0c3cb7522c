"""Data folders with documents of both languages, ingested once, and a pipeline over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pipeline_documents import DOCUMENTS, ENGLISH, TEXTS, filled
from winnow import RAGPipeline, Settings


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the three documents, below a path with a space and Chinese characters."""
    root = tmp_path_factory.mktemp("数据 data")
    data = filled(root, DOCUMENTS)
    with RAGPipeline.from_settings(Settings.load(data_dir=data, **ENGLISH)) as pipeline:
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
    return filled(tmp_path_factory.mktemp("stream"), TEXTS)
