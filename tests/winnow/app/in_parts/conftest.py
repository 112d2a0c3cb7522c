"""Documents that questions in parts are about, and pipelines over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.pipeline_documents import filled
from tests.support.questions_in_parts import DOCUMENTS
from winnow import RAGPipeline, Settings


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the documents."""
    return filled(tmp_path_factory.mktemp("parts"), DOCUMENTS)


@pytest.fixture
def pipeline(ingested: Path) -> Iterator[RAGPipeline]:
    """An open pipeline over that folder."""
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested)) as opened:
        yield opened


@pytest.fixture
def chatting(ingested: Path, endpoint: Endpoint) -> Iterator[RAGPipeline]:
    """A pipeline with a chat model, which answers nothing by default."""
    llm = {"base_url": endpoint.url, "model": "m", "max_retries": 0}
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested, llm=llm)) as opened:
        yield opened
