"""Documents with a chat model that writes lines about them, and a collection to re-index."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.chat_lines import DOCUMENTS, written
from tests.support.endpoint import Endpoint
from tests.support.reindexing import Place, encoders, pipeline, write


@pytest.fixture
def endpoint(endpoint: Endpoint) -> Endpoint:
    """A server whose chat model writes a line of context for every passage."""
    endpoint.reply = written
    return endpoint


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Documents in both languages, two of them longer than a passage."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Six documents, ingested once."""
    root = tmp_path_factory.mktemp("reindex")
    one, other = encoders(root)
    place = Place(root / "docs 文档", root / "data", one, other)
    write(place.docs, *range(6))
    with pipeline(place.data, one) as rag:
        assert rag.ingest(place.docs).totals["ingested"] == 6
    return place


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """A copy of the data over the same documents, which a test must restore if it changes them."""
    shutil.copytree(made.data, tmp_path / "data")
    return Place(made.docs, tmp_path / "data", made.one, made.other)
