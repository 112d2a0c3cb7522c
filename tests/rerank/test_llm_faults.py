"""Every strategy that asks a chat model, against every kind of fault: flagged, never silent.

Real sockets, and the real `openai` client.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
import pytest

from generation.chat.client import OpenAIChat
from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.errors import StageError
from storage.records import Ranking
from tests.support.endpoint import Endpoint, Reply, Request, Response, said, status
from tests.support.ranked_passages import BEST, CANDIDATES, check_whole, oracle, printed

pytestmark = pytest.mark.heavy

LLM = (
    "pointwise", "pointwise(scale=yes-no)", "listwise(window=6,step=3)", "listwise(permutations=3)",
    "pairwise", "pairwise(method=sliding)", "pairwise(method=all)", "setwise(size=4)", "tournament",
)  # fmt: skip


def talking(change: Callable[[str], Reply]) -> Callable[[Request], Reply]:
    """An oracle whose replies are altered on the way."""
    knows = oracle()
    return lambda request: change(knows(request))


def numbers_changed(change: Callable[[int], Any]) -> Callable[[str], str]:
    """Change every id of a ranking and every lone number; replace letters by one that was not offered."""

    def changed(reply: str) -> str:
        if reply.startswith("{"):
            return json.dumps(
                {"ranking": [change(i) for i in json.loads(reply)["ranking"]]}, ensure_ascii=False
            )
        return str(change(int(reply))) if reply.isdigit() else "Z"

    return changed


def full_width(reply: str) -> str:
    return reply.translate({ord(str(d)): 0xFF10 + d for d in range(10)})


# The replies, and the statuses allowed for each.
SERVER_FAULTS: Mapping[str, Reply] = {
    "429, Retry-After": status(429, retry_after=0.01),
    "500": status(500),
    "503": status(503),
    "connection reset": Response(reset=True),
    "no answer": Response(delay=5.0),
    "slow drip": Response(body={"choices": []}, drip=5.0),
    "HTTP body cut": Response(body={"choices": []}, cut=9),
    "an error page": Response(body=b"<html>Bad gateway</html>"),
    "another JSON": Response(body={"detail": "not what you asked for"}),
    "a refusal": said(None, refusal="I cannot help with that."),
    "empty content": said(""),
    "no content": said(None),
}
REPLY_FAULTS: Mapping[str, tuple[Callable[[str], Reply], set[str]]] = {
    "prose around": (lambda r: f"Sure!\n```\n{r}\n```\nI hope this helps.", {"ok"}),
    "a <think> trace": (lambda r: f"<think>[1] or [2]? 3</think>\n{r}", {"ok"}),
    "full-width ids": (full_width, {"ok"}),
    "JSON cut off": (lambda r: r[: len(r) // 2] if r.startswith("{") else "", {"repaired", "fallback"}),
    "ids out of range": (numbers_changed(lambda i: i + 90), {"fallback"}),
    "negative ids": (numbers_changed(lambda i: -i - 1), {"fallback"}),
    "duplicate ids": (numbers_changed(lambda i: 1), {"ok", "repaired", "fallback"}),
    "ids from zero": (numbers_changed(lambda i: i - 1), {"ok", "repaired", "partial", "fallback"}),
    "NaN": (lambda r: "NaN", {"fallback"}),
    "only talk": (lambda r: "That is a matter of taste.", {"fallback"}),
}


def asked(endpoint: Endpoint, spec: str, *, max_retries: int = 0, **parts: Any) -> Ranking:
    """Rank the eight passages by a chain that calls the endpoint."""

    return anyio.run(partial(asked_all, endpoint, [spec], max_retries=max_retries, **parts))[0]


async def asked_all(
    endpoint: Endpoint, specs: Sequence[str], *, timeout_s: float = 5.0, max_retries: int = 0, **parts: Any
) -> list[Ranking]:
    """Return one ranking per spec, through one client."""
    chat = OpenAIChat.load(model="m", base_url=endpoint.url, timeout_s=timeout_s, max_retries=max_retries)
    ready = RerankParts(chat=lambda _m: chat, limiter=anyio.CapacityLimiter(4), **parts)
    try:
        chains = [Chain.load(Spec.parse(spec), ready) for spec in specs]
        return [await chain.rerank("Which passage is worth most?", CANDIDATES, 5) for chain in chains]
    finally:
        await chat.aclose()


def test_every_llm_strategy_times_every_fault(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    """A failing server ends in a flagged fallback; a strange reply in ok, repaired, partial or fallback."""
    table: dict[str, list[str]] = {}
    for fault, reply in SERVER_FAULTS.items():
        endpoint.reply = reply
        patience = 0.1 if fault in ("no answer", "slow drip") else 5.0
        rankings = anyio.run(partial(asked_all, endpoint, LLM, timeout_s=patience))
        table[fault] = [check_whole(ranking) for ranking in rankings]
        assert set(table[fault]) == {"fallback"}, fault
    for fault, (change, honest) in REPLY_FAULTS.items():
        endpoint.reply = talking(change)
        table[fault] = [check_whole(ranking) for ranking in anyio.run(asked_all, endpoint, LLM)]
        assert set(table[fault]) <= honest, fault
    printed(capsys, table, [spec.replace("wise", "").replace("(", " ") for spec in LLM])


def test_told_to_raise_every_failure_is_an_error(endpoint: Endpoint) -> None:
    """With on_failure="raise" every failure raises instead of keeping the incoming order."""
    endpoint.reply = status(500)
    for spec in LLM:
        with pytest.raises(StageError, match="fell back"):
            asked(endpoint, spec, on_failure="raise")


def test_a_fault_that_passes_is_retried_by_the_client_and_counted(endpoint: Endpoint) -> None:
    """Only the openai client waits for a 429 with Retry-After; the usage counts every call."""
    endpoint.enqueue(status(429, retry_after=0.01), status(429, retry_after=0.01))
    endpoint.reply = oracle()
    ranking = asked(endpoint, "listwise", max_retries=2)
    assert [c.id for c in ranking.candidates] == BEST[:5]
    assert ranking.outcome.status == "ok"
    assert len(endpoint.requests) == 3
    assert (ranking.outcome.usage.calls, ranking.outcome.usage.retries) == (3, 2)


def test_one_lost_call_is_partial(endpoint: Endpoint) -> None:
    """One failed call makes the outcome partial; the other calls still count."""
    endpoint.enqueue(status(500))
    endpoint.reply = oracle()
    ranking = asked(endpoint, "pointwise")
    assert check_whole(ranking) == "partial"
    assert "1 call failed" in ranking.outcome.reason


def test_label_probabilities_come_through_the_real_client(endpoint: Endpoint) -> None:
    """The server's log-probabilities make the score; a server that refuses them is asked without."""
    endpoint.reply = lambda request: said("8", first_token={"8": 0.75, "4": 0.25})
    ranking = asked(endpoint, "pointwise")
    assert ranking.candidates[0].scores["pointwise"] == pytest.approx(7.0)
    assert endpoint.requests[0].body["top_logprobs"] == 20
    knows = oracle()
    endpoint.reply = lambda request: (
        status(400, "logprobs are not supported") if "logprobs" in request.body else knows(request)
    )
    ranking = asked(endpoint, "pointwise")
    assert ranking.candidates[0].id == BEST[0]
    assert ranking.outcome.status == "ok"


@pytest.mark.parametrize("spec", ["pointwise", "pointwise(scale=yes-no)", "setwise(size=4)", "pairwise"])
def test_a_model_that_rambles_is_held_to_a_label_by_schema(endpoint: Endpoint, spec: str) -> None:
    """A second reply has the form of a verdict where the endpoint takes a schema."""
    knows = oracle()

    def reply(request: Request) -> Reply:
        if "response_format" not in request.body:
            return said("Passages are of many kinds, and", finish_reason="length")
        allowed = request.body["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"]
        verdict = knows(request)
        assert verdict in [str(one) for one in allowed]
        return json.dumps({"answer": int(verdict) if isinstance(allowed[0], int) else verdict})

    endpoint.reply = reply
    ranking = asked(endpoint, spec)
    assert ranking.outcome.status == "ok"
    free = sum("response_format" not in request.body for request in endpoint.requests)
    assert 0 < free <= 4  # those in flight; from the first that had to be held to labels on, all are at once
    if "yes" not in spec:
        assert ranking.candidates[0].id == BEST[0]
