"""Every strategy that calls a server, against every kind of server fault: flagged, never silent.

Real sockets, the real `openai` client, the real HTTP client of the rerank APIs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
import httpx2
import pytest

from generation.chat.client import OpenAIChat
from rerank.api.client import Address, ApiError, PassingError, posted
from rerank.api.profiles import PROFILES
from rerank.api.replies import UnusableRerankReplyError, read_scores
from rerank.chain import Chain
from rerank.llm.budget import Budget
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.chat import Price
from storage.errors import SettingsError, SpecError, StageError
from storage.records import Candidate, Ranking
from storage.retry_after import retry_after
from tests.support.endpoint import Endpoint, Reply, Request, Response, said, status
from tests.support.fakes import MemoryCache
from tests.support.rerank_endpoint import SHAPES, Oracle, rerank_route, systemone_route

pytestmark = pytest.mark.heavy

GRADES = {f"This passage is worth {i} points.": float(i) for i in range(8)}
CANDIDATES = [Candidate.from_text(text, id=f"p{i}") for i, text in enumerate(GRADES)]
BEST = [f"p{i}" for i in reversed(range(8))]
LLM = (
    "pointwise", "pointwise(scale=yes-no)", "listwise(window=6,step=3)", "listwise(permutations=3)",
    "pairwise", "pairwise(method=sliding)", "pairwise(method=all)", "setwise(size=4)", "tournament",
)  # fmt: skip


def oracle() -> Oracle:
    return Oracle(GRADES, top=7.0)


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


def check_whole(ranking: Ranking) -> str:
    """Assert that no candidate is lost, and return the outcome's status."""
    assert sorted(c.id for c in ranking.everything) == sorted(BEST)
    assert len(ranking.candidates) == 5
    outcome = ranking.outcome
    assert outcome.status == "ok" or outcome.reason
    if outcome.status == "fallback":
        assert list(ranking.everything) == CANDIDATES
    return outcome.status


def printed(
    capsys: pytest.CaptureFixture[str], table: Mapping[str, Sequence[str]], heads: Sequence[str]
) -> None:
    lines = [" " * 18 + " ".join(f"{head[:10]:>10}" for head in heads)]
    lines += [f"{name:<18}" + " ".join(f"{cell:>10}" for cell in cells) for name, cells in table.items()]
    with capsys.disabled():
        sys.stdout.write("\n\n" + "\n".join(lines) + "\n")


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


# ---- rerank APIs


def worth(query: str, text: str) -> float:
    return GRADES[text] / 7


def api(endpoint: Endpoint, profile: str, *, options: str = "", **parts: Any) -> Ranking:
    spec = f'api(profile={profile},url="{endpoint.root}"{options})'
    chain = Chain.load(Spec.parse(spec), RerankParts(api_key=lambda _p: "secret-key", **parts))
    return anyio.run(chain.rerank, "Which passage is worth most?", CANDIDATES, 5)


@pytest.mark.parametrize("name", SHAPES)
def test_every_api_is_spoken_to_in_its_own_words(endpoint: Endpoint, name: str) -> None:
    """Each API gets only the fields it knows and the key in the header, and all scores are read."""
    shape = SHAPES[name]
    endpoint.routes[shape.path] = rerank_route(shape, worth)
    ranking = api(endpoint, name)
    assert [c.id for c in ranking.candidates] == BEST[:5]
    assert ranking.outcome.status == "ok"
    assert ranking.candidates[0].scores["api"] == pytest.approx(1.0)
    assert endpoint.requests[0].headers["authorization"] == "Bearer secret-key"
    assert ranking.outcome.usage.calls == 1


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


def test_a_batch_above_the_servers_limit_is_split_and_merged(endpoint: Endpoint) -> None:
    """TEI takes 32 by default, or fewer: documents are split until they fit, scores merged by index."""
    from dataclasses import replace

    endpoint.routes["/rerank"] = rerank_route(replace(SHAPES["tei"], limit=5), worth)
    ranking = api(endpoint, "tei")
    assert [c.id for c in ranking.candidates] == BEST[:5]
    assert ranking.outcome.status == "ok"
    assert len(endpoint.requests) == 1 + 2
    many = [Candidate.from_text(text, id=f"{text}{i}") for i in range(9) for text in GRADES]
    endpoint.requests.clear()
    endpoint.routes["/rerank"] = rerank_route(SHAPES["tei"], worth)
    chain = Chain.load(Spec.parse(f'api(profile=tei,url="{endpoint.root}/rerank")'), RerankParts())
    assert len(anyio.run(chain.rerank, "q", many, 5).everything) == 72
    assert sorted(len(r.body["texts"]) for r in endpoint.requests) == [8, 32, 32]


def test_a_body_too_large_is_halved(endpoint: Endpoint) -> None:
    """A 413 without a stated limit halves the batch until it fits."""
    route = rerank_route(SHAPES["vllm"], worth)
    endpoint.routes["/v1/rerank"] = lambda r: status(413) if len(r.body["documents"]) > 3 else route(r)
    assert api(endpoint, "vllm").outcome.status == "ok"


def test_a_passing_failure_is_retried_after_what_the_server_asked(endpoint: Endpoint) -> None:
    """A 429 or a cut connection is retried, as often as allowed, and the retries are counted."""
    route = rerank_route(SHAPES["jina"], worth)
    replies: list[Response] = [status(429, retry_after=0.01), Response(reset=True)]
    endpoint.routes["/v1/rerank"] = lambda r: replies.pop(0) if replies else route(r)
    ranking = api(endpoint, "jina")
    assert ranking.outcome.status == "ok"
    assert (ranking.outcome.usage.calls, ranking.outcome.usage.retries) == (3, 2)
    assert ranking.outcome.usage.prompt_tokens == 123


def test_billed_searches_make_the_cost(endpoint: Endpoint) -> None:
    """Cohere's billed searches are priced, and a cost budget stops the next call."""
    endpoint.routes["/v2/rerank"] = rerank_route(SHAPES["cohere"], worth)
    prices = {"rerank-v4.0-pro": Price(call=0.002)}
    assert api(endpoint, "cohere", prices=prices).outcome.usage.cost == pytest.approx(0.002)
    ranking = api(endpoint, "cohere", prices=prices, budget=Budget(max_cost=0.001))
    assert ranking.outcome.status == "fallback"
    assert "max_cost" in ranking.outcome.reason
    assert len(endpoint.requests) == 1


def test_the_deadline_bounds_an_api_too(endpoint: Endpoint) -> None:
    """The deadline ends a call to a hanging API."""
    endpoint.routes["/v2/rerank"] = lambda _r: Response(delay=5.0)
    ranking = api(endpoint, "cohere", budget=Budget(deadline_ms=60), options=",retries=5")
    assert ranking.outcome.status == "fallback"
    assert "deadline" in ranking.outcome.reason
    assert len(endpoint.requests) == 1


def test_an_api_needs_its_key_and_an_address() -> None:
    """A missing key or address is an error when the chain is built."""
    with pytest.raises(SettingsError, match="cohere needs a key"):
        Chain.load(Spec.parse("api"), RerankParts())
    with pytest.raises(SpecError, match="url is missing"):
        Chain.load(Spec.parse("api(profile=tei)"), RerankParts())
    with pytest.raises(SpecError, match="not the address"):
        Chain.load(Spec.parse('api(profile=tei,url="localhost:8080")'), RerankParts())


@pytest.mark.parametrize("document", ["a text", {"text": "a text"}, None])
def test_documents_that_come_back_are_no_matter(document: object) -> None:
    """Documents in a reply are ignored, whether sent as text, as objects or as null."""
    reply = {"results": [{"index": 1, "relevance_score": 0.5, "document": document}]}
    assert read_scores(reply, 2) == [None, 0.5]


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


def test_profiles_and_shapes_name_the_same_apis() -> None:
    """Every API profile has a test shape, and every shape a profile."""
    assert set(PROFILES) == {*SHAPES, "custom", "typesafe"}


@pytest.mark.parametrize("name", sorted(name for name in SHAPES if PROFILES[name].instruction))
def test_an_instruction_goes_where_an_api_has_it(endpoint: Endpoint, name: str) -> None:
    """In a field of its own, or before the query; another instruction is another question for the cache."""
    shape, cache = SHAPES[name], MemoryCache()
    asked: list[str] = []

    def recorded(query: str, text: str) -> float:
        asked.append(query)
        return worth(query, text)

    endpoint.routes[shape.path] = rerank_route(shape, recorded)
    api(endpoint, name, options=',instruction="only newer ones"', cache=cache)
    sent = json.dumps(endpoint.requests[0].body)
    assert "only newer ones" in sent
    assert (asked[0] == "Which passage is worth most?") == (PROFILES[name].instruction != "query")
    api(endpoint, name, cache=cache)
    assert len(endpoint.requests) == 2
    assert "only newer ones" not in json.dumps(endpoint.requests[1].body)
    api(endpoint, name, cache=cache, instruction="only newer ones")
    assert len(endpoint.requests) == 2


def test_an_api_without_instructions_refuses_one(endpoint: Endpoint) -> None:
    """An instruction that cannot be sent is an error that names the APIs that take one."""
    with pytest.raises(SettingsError, match="takes no instruction") as refused:
        api(endpoint, "cohere", options=',instruction="x"')
    assert "contextual" in refused.value.way_out
    with pytest.raises(SpecError, match="no profile 'coher'"):
        api(endpoint, "coher")


def test_published_prices_count_where_none_is_set(endpoint: Endpoint) -> None:
    """A vendor's published price makes the cost; one of the settings wins, and another model has none."""
    endpoint.routes[SHAPES["dashscope"].path] = rerank_route(SHAPES["dashscope"], worth)
    assert api(endpoint, "dashscope").outcome.usage.cost == pytest.approx(123 * 0.1 / 1e6)
    priced = {"qwen3-rerank": Price(prompt=2.0)}
    assert api(endpoint, "dashscope", prices=priced).outcome.usage.cost == pytest.approx(123 * 2 / 1e6)
    assert api(endpoint, "dashscope", options=",model=gte-rerank-v2").outcome.usage.cost is None


def decided(endpoint: Endpoint, options: str = "", **parts: Any) -> Ranking:
    spec = f'decision(url="{endpoint.root}"{options})'
    chain = Chain.load(Spec.parse(spec), RerankParts(api_key=lambda _p: "secret-key", **parts))
    return anyio.run(chain.rerank, "Which passage is worth most?", CANDIDATES, 5)


def test_decisions_are_asked_of_each_passage(endpoint: Endpoint) -> None:
    """One state a passage, one yes-or-no question; its probability is the score, also for a gate."""
    endpoint.routes["/v1/systemone"] = systemone_route(worth)
    ranking = decided(endpoint)
    assert [c.id for c in ranking.candidates] == BEST[:5]
    assert ranking.outcome.status == "ok"
    assert ranking.outcome.usage.calls == len(CANDIDATES) == len(endpoint.requests)
    assert ranking.outcome.usage.prompt_tokens == 108 * len(CANDIDATES)
    assert {len(request.body["state"]) for request in endpoint.requests} == {2}
    few = decided(endpoint, ",min_score=0.5")
    assert all(one.scores["decision"] >= 0.5 for one in few.candidates)
    told = decided(endpoint, ',instruction="Is it about foxes?"')
    [question] = endpoint.requests[-1].body["questions"].values()
    assert question["instructions"] == "Is it about foxes?"
    assert told.outcome.status == "ok"


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"answers": {}},
        {"answers": {"relevant": {"noul": 1.5}}},
        {"answers": {"relevant": {"noul": "yes"}}},
    ],
)
def test_a_reply_that_is_no_decision_is_flagged(endpoint: Endpoint, reply: dict[str, Any]) -> None:
    """A reply without a probability from 0 to 1 counts as none, and five in a row end the stage."""
    endpoint.routes["/v1/systemone"] = lambda _request: Response(body=reply)
    ranking = decided(endpoint)
    assert ranking.outcome.status == "fallback"
    assert [c.id for c in ranking.everything] == [c.id for c in CANDIDATES]
