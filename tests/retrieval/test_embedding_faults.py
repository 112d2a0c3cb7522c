"""Faults of an embeddings endpoint: tried again, or an error that says what to do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from retrieval.encoders.encoder import Encoder
from retrieval.encoders.endpoint import load_openai_encoder
from storage.errors import ModelError
from tests.support.embedding_api import EmbeddingApi, unit, vector_of
from tests.support.endpoint import Endpoint, Response, status

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize(
    ("fault", "said", "way_out"),
    [
        (status(401, "Incorrect API key"), "HTTP 401.*Incorrect API key", "encoder.api_key"),
        (status(403), "HTTP 403", "encoder.model"),
        (status(404, "no such model"), "no such model", "encoder.model"),
        (status(400, "something else"), "something else", "message"),
        (status(418), "refused", "log"),
        (Response(body=b"<html>not found</html>"), "does not follow the embeddings API", "/v1"),
        (Response(body=b"{"), "does not follow the embeddings API", "/v1"),
    ],
)
def test_refusals_name_the_reason_and_the_way_out(
    api: EmbeddingApi, load: Callable[..., Encoder], fault: Response, said: str, way_out: str
) -> None:
    """An error that a retry cannot fix is not retried."""
    api.faults.append(fault)
    with pytest.raises(ModelError, match=said) as caught:
        load().encode_query("What?")
    assert way_out in caught.value.way_out
    assert api.asked == 1


@pytest.mark.parametrize(
    "fault",
    [status(429, retry_after=0.01), status(503, retry_after=0.01), Response(reset=True), Response(cut=9)],
)
def test_what_may_pass_is_tried_again(
    api: EmbeddingApi, load: Callable[..., Encoder], fault: Response
) -> None:
    """A busy server or broken connection is retried, and the usage counts the retry."""
    if fault.cut:
        fault = Response(body={"data": []}, cut=9)
    api.faults.append(fault)
    encoding = load().encode_query("What is reranking?")
    np.testing.assert_allclose(encoding.dense, unit(vector_of("What is reranking?", 8)), atol=1e-6)
    assert (encoding.usage.calls, encoding.usage.retries) == (2, 1)


def test_what_does_not_pass_is_an_error_in_the_end(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """A fault that outlasts the configured retries is an error."""
    api.faults.extend([status(429, "slow down", retry_after=0.01)] * 3)
    with pytest.raises(ModelError, match=r"rate limit.*slow down"):
        load(max_retries=2).encode_query("What?")
    assert api.asked == 3


def test_a_silent_or_missing_server_is_an_error(endpoint: Endpoint, load: Callable[..., Encoder]) -> None:
    """A server that is silent or missing is an error and does not hang a question."""
    endpoint.routes["/v1/embeddings"] = lambda request: Response(body={}, delay=30)
    with pytest.raises(ModelError, match="in time"):
        load(timeout_s=0.2, max_retries=0).encode_query("What?")
    nobody = load_openai_encoder("m", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(ModelError, match="cannot be reached"):
        nobody.encode_query("What?")
    nobody.close()
