"""Documents, and a chat model that writes questions and grades about them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.pipeline_documents import filled
from tests.support.synthesis import DOCUMENTS, author


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the documents ingested."""
    return filled(tmp_path_factory.mktemp("synthesis"), {name: text for name, (text, _) in DOCUMENTS.items()})


@pytest.fixture
def endpoint(endpoint: Endpoint) -> Endpoint:
    """A server whose chat model writes and grades questions."""
    endpoint.reply = author()
    return endpoint


@pytest.fixture
def words(data: Path, endpoint: Endpoint, tmp_path: Path) -> list[object]:
    """Return the options that every command ends with."""
    return ["--out", tmp_path / "out.jsonl", "--data-dir", data, "--base-url", endpoint.url, "--json"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A file of questions, one twice, in two languages."""
    lines = ["When does the ferry leave for the outer islands?", "图书馆一次可以借多少本书？"]
    path = tmp_path / "questions.jsonl"
    rows = [{"id": f"q{i}", "text": text} for i, text in enumerate([*lines, lines[0].upper()])]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path
