"""Replies of an embeddings endpoint: in the order of the texts, and refused where they cannot be right."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.encoder import Encoder
from storage.errors import ModelError
from tests.support.embedding_api import TEXTS, EmbeddingApi, unit, vector_of
from tests.support.endpoint import Endpoint, Response

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("formats", [("base64", "float"), ("float",)])
def test_vectors_are_the_endpoints_in_the_order_of_the_texts(
    api: EmbeddingApi, load: Callable[..., Encoder], formats: tuple[str, ...]
) -> None:
    """Base64 is requested; a server that refuses it is asked for numbers from then on."""
    api.formats = formats
    encoder = load()
    for text, encoding in zip(TEXTS, encoder.encode_passages(TEXTS, tokens=True), strict=True):
        np.testing.assert_allclose(encoding.dense, unit(vector_of(text, 8)), atol=1e-6)
        assert (encoding.tokens, encoding.truncated) == (None, False)
    asked = api.asked
    encoder.encode_passages(["one more"], tokens=False)
    assert api.asked == asked + 1
    assert (encoder.dim, encoder.token_dim) == (8, None)


def test_vectors_in_another_order_are_put_in_theirs(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """Vectors are matched to texts by the items' index, not by their order."""
    api.faults.append(lambda reply: reply | {"data": reply["data"][::-1]})
    for text, encoding in zip(TEXTS, load().encode_passages(TEXTS, tokens=False), strict=True):
        np.testing.assert_allclose(encoding.dense, unit(vector_of(text, 8)), atol=1e-6)


def items(
    change: Callable[[int, dict[str, Any]], dict[str, Any]],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A fault that changes each item of a reply."""
    return lambda reply: reply | {"data": [change(n, item) for n, item in enumerate(reply["data"])]}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda reply: reply | {"data": reply["data"][1:]}, "2 vectors for 3 texts"),
        (lambda reply: reply | {"data": "none"}, "no list of vectors"),
        (lambda reply: {"error": "busy"}, "no list of vectors"),
        (items(lambda n, item: item | {"index": 0}), "numbered 0, 0, 0"),
        (items(lambda n, item: item | {"index": n + 1}), "numbered 1, 2, 3"),
        (items(lambda n, item: item | {"index": [n]}), "are numbered"),
        (items(lambda n, item: item | {"embedding": [1.0] * (8 - n)}), "7 dimensions, not 8"),
        (items(lambda n, item: item | {"embedding": [float("nan")] * 8}), "not a number"),
        (items(lambda n, item: item | {"embedding": [None] * 8}), "not a number"),
        (items(lambda n, item: item | {"embedding": [1e300] * 8}), "not a number"),
        (items(lambda n, item: item | {"embedding": [0.0] * 8}), "zeros"),
        (items(lambda n, item: item | {"embedding": "?not base64?"}), "neither"),
        (items(lambda n, item: item | {"embedding": "AAA="}), "neither"),
        (items(lambda n, item: item | {"embedding": [[1.0] * 8]}), "neither"),
        (items(lambda n, item: item | {"embedding": ["1"] * 8}), "neither"),
        (items(lambda n, item: item | {"embedding": []}), "neither"),
    ],
)
def test_a_reply_that_cannot_be_right_is_refused(
    api: EmbeddingApi, load: Callable[..., Encoder], fault: Any, said: str
) -> None:
    """A wrong count, index, width or number in a reply is an error that says what came."""
    api.faults.append(fault)
    with pytest.raises(ModelError, match=said) as caught:
        load().encode_passages(TEXTS, tokens=False)
    assert "some-embedder" in str(caught.value)
    assert caught.value.way_out


def test_a_width_that_changes_between_replies_is_refused(
    api: EmbeddingApi, load: Callable[..., Encoder]
) -> None:
    """The first reply fixes the width; a later reply of another width is refused."""
    encoder = load()
    encoder.encode_query("What is reranking?")
    api.dim = 16
    with pytest.raises(ModelError, match="16 dimensions, not 8"):
        encoder.encode_query("And now?")


@pytest.mark.parametrize("packed", [False, True])
def test_no_reply_is_read_beyond_what_vectors_can_be(
    endpoint: Endpoint, load: Callable[..., Encoder], packed: bool
) -> None:
    """A reply larger than the vectors of a request can be ends at once, packed or not."""
    body, headers = b"x" * (66 << 20), {}
    if packed:
        body, headers = gzip.compress(body, 1), {"content-encoding": "gzip"}
    endpoint.routes["/v1/embeddings"] = lambda _request: Response(body=body, headers=headers)
    with pytest.raises(ModelError, match="larger than 67,108,864 bytes"):
        load(max_retries=0).encode_query("What is a fox?")
