"""The strategy `decision`: one yes-or-no question a passage, whose probability is the score."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.records import Ranking
from tests.support.endpoint import Endpoint, Response
from tests.support.ranked_passages import BEST, CANDIDATES, worth
from tests.support.rerank_endpoint import systemone_route

pytestmark = pytest.mark.heavy


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
