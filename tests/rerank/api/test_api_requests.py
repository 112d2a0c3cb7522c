"""Requests to rerank APIs: in their own words, in batches that fit, with keys and instructions; costs."""

from __future__ import annotations

import json

import anyio
import pytest

from rerank.api.profiles import PROFILES
from rerank.api.replies import read_scores
from rerank.chain import Chain
from rerank.llm.budget import Budget
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.chat import Price
from storage.errors import SettingsError, SpecError
from storage.records import Candidate
from tests.support.endpoint import Endpoint, status
from tests.support.fakes import MemoryCache
from tests.support.ranked_passages import BEST, GRADES, api, worth
from tests.support.rerank_endpoint import SHAPES, rerank_route

pytestmark = pytest.mark.heavy


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


def test_billed_searches_make_the_cost(endpoint: Endpoint) -> None:
    """Cohere's billed searches are priced, and a cost budget stops the next call."""
    endpoint.routes["/v2/rerank"] = rerank_route(SHAPES["cohere"], worth)
    prices = {"rerank-v4.0-pro": Price(call=0.002)}
    assert api(endpoint, "cohere", prices=prices).outcome.usage.cost == pytest.approx(0.002)
    ranking = api(endpoint, "cohere", prices=prices, budget=Budget(max_cost=0.001))
    assert ranking.outcome.status == "fallback"
    assert "max_cost" in ranking.outcome.reason
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
