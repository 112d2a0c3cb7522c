"""Rerank APIs against every kind of fault of a server: flagged, retried or translated.

Real sockets, and the real HTTP client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import httpx2
import pytest

from rerank.api.client import Address, ApiError, PassingError, posted
from rerank.api.replies import UnusableRerankReplyError, read_scores
from rerank.llm.budget import Budget
from storage.retry_after import retry_after
from tests.support.endpoint import Endpoint, Reply, Request, Response, status
from tests.support.ranked_passages import api, check_whole, printed, worth
from tests.support.rerank_endpoint import SHAPES, rerank_route

pytestmark = pytest.mark.heavy


def spoiled(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Request], Response]:
    """A Cohere-shaped server whose results are changed."""
    route = rerank_route(SHAPES["cohere"], worth)

    def answer(request: Request) -> Response:
        body = route(request).body
        return Response(body={**body, "results": change(body["results"])})

    return answer


def first_with(**values: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda results: [{**results[0], **values}, *results[1:]]


API_FAULTS: Mapping[str, tuple[Reply | Callable[[Request], Reply], str]] = {
    "429, Retry-After": (status(429, retry_after=0.01), "fallback"),
    "429, for an hour": (status(429, retry_after=3600), "fallback"),
    "500": (status(500, retry_after=0.01), "fallback"),
    "503": (status(503, retry_after=0.01), "fallback"),
    "401": (status(401), "fallback"),
    "404": (status(404), "fallback"),
    "424": (status(424), "fallback"),
    "connection reset": (Response(reset=True), "fallback"),
    "no answer": (Response(delay=5.0), "fallback"),
    "slow drip": (Response(body={"results": []}, drip=5.0), "fallback"),
    "HTTP body cut": (Response(body={"results": []}, cut=5), "fallback"),
    "an error page": (Response(body=b"<html>\x1b[31mBad gateway</html>"), "fallback"),
    "an error as 200": (Response(body={"error": "model not loaded"}), "fallback"),
    "index out of range": (spoiled(first_with(index=8)), "fallback"),
    "negative index": (spoiled(first_with(index=-1)), "fallback"),
    "index twice": (spoiled(lambda r: [r[0], *r]), "fallback"),
    "no index": (spoiled(lambda r: [{"relevance_score": 1.0}]), "fallback"),
    "a text as score": (spoiled(first_with(relevance_score="high")), "fallback"),
    "results left out": (spoiled(lambda r: r[:7]), "partial"),
    "null score": (spoiled(first_with(relevance_score=None)), "partial"),
    "NaN score": (spoiled(first_with(relevance_score=float("nan"))), "partial"),
    "no results": (spoiled(lambda r: []), "fallback"),
}


def test_every_api_fault_is_flagged(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    """No field mismatch, error body or odd score is swallowed; the key is in no message."""
    table = {}
    for fault, (reply, expected) in API_FAULTS.items():
        endpoint.routes["/v2/rerank"] = reply if callable(reply) else lambda _request, reply=reply: reply
        patience = 0.1 if fault in ("no answer", "slow drip") else 5.0
        ranking = api(endpoint, "cohere", options=f",retries=1,timeout_s={patience}")
        assert check_whole(ranking) == expected, fault
        assert "secret-key" not in ranking.outcome.reason
        assert "\x1b" not in ranking.outcome.reason
        table[fault] = [ranking.outcome.status]
    printed(capsys, table, ["api"])


def test_a_passing_failure_is_retried_after_what_the_server_asked(endpoint: Endpoint) -> None:
    """A 429 or a cut connection is retried, as often as allowed, and the retries are counted."""
    route = rerank_route(SHAPES["jina"], worth)
    replies: list[Response] = [status(429, retry_after=0.01), Response(reset=True)]
    endpoint.routes["/v1/rerank"] = lambda r: replies.pop(0) if replies else route(r)
    ranking = api(endpoint, "jina")
    assert ranking.outcome.status == "ok"
    assert (ranking.outcome.usage.calls, ranking.outcome.usage.retries) == (3, 2)
    assert ranking.outcome.usage.prompt_tokens == 123


def test_the_deadline_bounds_an_api_too(endpoint: Endpoint) -> None:
    """The deadline ends a call to a hanging API."""
    endpoint.routes["/v2/rerank"] = lambda _r: Response(delay=5.0)
    ranking = api(endpoint, "cohere", budget=Budget(deadline_ms=60), options=",retries=5")
    assert ranking.outcome.status == "fallback"
    assert "deadline" in ranking.outcome.reason
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "reply", [None, [], {}, {"results": {}}, "text", [["1"]], [{"index": True, "score": 1}]]
)
def test_what_is_no_list_of_scores_is_refused(reply: object) -> None:
    """A reply of another shape is an error, not an empty result."""
    if reply == []:
        assert read_scores(reply, 1) == [None]
        return
    with pytest.raises(UnusableRerankReplyError):
        read_scores(reply, 1)


def test_every_exception_of_the_http_client_is_translated() -> None:
    """Every exception of the HTTP client is translated; one added by a new release fails here."""

    class Raising(httpx2.AsyncBaseTransport):
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise self.error

    async def ask(error: Exception) -> None:
        async with httpx2.AsyncClient(transport=Raising(error)) as client:
            with pytest.raises(ApiError):
                await posted(client, Address("http://localhost/rerank"), {})

    kinds = [getattr(httpx2, name) for name in httpx2.__all__ if isinstance(getattr(httpx2, name), type)]
    errors = [kind for kind in kinds if issubclass(kind, (httpx2.HTTPError, httpx2.InvalidURL))]
    assert len(errors) > 15
    for kind in errors:
        if kind is not httpx2.HTTPStatusError:
            anyio.run(ask, kind("made up"))


def test_retry_after_is_seconds_or_a_date() -> None:
    """Retry-After is read as seconds or as a date, and ignored if it is neither."""
    assert retry_after("1.5") == 1.5
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("soon") is None
    assert retry_after(None) is None
    assert PassingError("x", retry_after=2.0).retry_after == 2.0
