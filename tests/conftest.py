"""Fixtures for all tests: a clean environment, the packaged encoder, and a server on the loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from retrieval.encoders.encoder import Encoder
    from retrieval.lexical import LexicalEncoder
    from tests.support.endpoint import Endpoint

# The contract tests' own switches stay.
_KEPT = ("WINNOW_TEST_",)
_SCRUBBED = ("WINNOW_", "OPENAI_", "ANTHROPIC_", "COHERE_", "JINA_", "VOYAGE_", "MIXEDBREAD_", "OTEL_")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the machine's keys and settings, the model hub and the checkout out of every test."""
    for name in list(os.environ):
        if name.startswith(_SCRUBBED) and not name.startswith(_KEPT):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "working folder 工作"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The default encoder, packaged."""
    from retrieval.encoders.encoder import load_encoder

    return load_encoder(device="cpu")


@pytest.fixture(scope="session")
def minilm() -> Encoder:
    """The packaged MiniLM, which reads no Chinese."""
    from retrieval.encoders.encoder import load_encoder
    from retrieval.models.hub import MINILM

    return load_encoder(MINILM, device="cpu")


@pytest.fixture(scope="session")
def lexical() -> LexicalEncoder:
    """Qdrant's own BM25."""
    from retrieval.lexical import LexicalEncoder

    return LexicalEncoder.load()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A server with the part of OpenAI's API that winnow uses."""
    from tests.support.endpoint import Endpoint

    with Endpoint() as running:
        yield running
