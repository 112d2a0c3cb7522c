"""An embeddings API on the loopback, and encoders that ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from retrieval.encoders.encoder import Encoder
from retrieval.encoders.endpoint import load_openai_encoder
from tests.support.embedding_api import EmbeddingApi
from tests.support.endpoint import Endpoint


@pytest.fixture
def api(endpoint: Endpoint) -> EmbeddingApi:
    endpoint.routes["/v1/embeddings"] = api = EmbeddingApi()
    return api


@pytest.fixture
def load(endpoint: Endpoint) -> Iterator[Callable[..., Encoder]]:
    """Make encoders at the endpoint, and close them."""
    made: list[Encoder] = []

    def loaded(model: str = "some-embedder", **options: Any) -> Encoder:
        made.append(load_openai_encoder(model, base_url=endpoint.url, **options))
        return made[-1]

    yield loaded
    for encoder in made:
        encoder.close()
