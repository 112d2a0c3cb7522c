"""Strategies that call a language model: budgets, deadlines, cancellation, cached verdicts."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from rerank.chain import Chain
from rerank.llm.budget import Budget
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.chat import Completion, Price
from storage.records import Candidate
from tests.support.llm_stages import LLM, MemoryCache, Scripted, ids, passages, run
from tests.support.rerank_endpoint import Oracle, OracleChat

BUDGETS = {"pointwise": 50, "listwise": 4, "pairwise": 240, "setwise": 14, "tournament": 14}


@pytest.mark.parametrize("spec", BUDGETS)
def test_max_calls_is_kept_and_the_best_so_far_given_back(spec: str) -> None:
    """A call beyond `max_calls` is not started; the outcome is partial and says why."""
    candidates, grades, _ = passages(50)
    oracle = Oracle(grades)
    ranking = run(spec, OracleChat(oracle), candidates, budget=Budget(max_calls=3))
    assert len(oracle.prompts) == 3
    assert ranking.outcome.status == "partial"
    assert "max_calls=3" in ranking.outcome.reason
    assert len(ranking.everything) == 50


def test_a_budget_of_nothing_asks_nothing() -> None:
    """max_calls=0 makes no call and returns the incoming order, flagged."""
    candidates, grades, _ = passages(10)
    oracle = Oracle(grades)
    ranking = run("listwise(max_calls=0)", OracleChat(oracle), candidates)
    assert oracle.prompts == []
    assert ranking.outcome.status == "fallback"
    assert ids(ranking.everything) == ids(candidates)


def test_a_budget_holds_for_all_stages_of_a_question_and_not_for_the_next() -> None:
    """The stages of a question share one budget; the next question has its own."""
    candidates, grades, _ = passages(20)
    oracle = Oracle(grades)
    parts = RerankParts(chat=lambda _m: OracleChat(oracle), budget=Budget(max_calls=21))
    chain = Chain.load(Spec.parse("pointwise:10,setwise(size=3)"), parts)
    for question in (1, 2):
        ranking = anyio.run(chain.rerank, "q", candidates, 5)
        assert ranking.outcome.usage.calls == 21
        assert len(oracle.prompts) == 21 * question
        assert [o.status for o in ranking.outcomes] == ["ok", "partial"]


def test_tokens_and_cost_are_checked_before_they_are_spent() -> None:
    """A call that could exceed the token or cost limit is not made."""
    candidates, grades, _ = passages(20)
    prices = {"oracle": Price(prompt=1000.0, completion=1000.0)}
    for budget, word in ((Budget(max_tokens=2000), "max_tokens"), (Budget(max_cost=2.0), "max_cost")):
        ranking = run("pointwise", OracleChat(Oracle(grades)), candidates, budget=budget, prices=prices)
        usage = ranking.outcome.usage
        assert 0 < usage.calls < 20
        assert usage.prompt_tokens + usage.completion_tokens <= 2000
        assert usage.cost is not None
        assert usage.cost <= 2.0
        assert word in ranking.outcome.reason
    ranking = run("pointwise", OracleChat(Oracle(grades)), candidates, budget=Budget(max_cost=2.0))
    assert "no price" in ranking.outcome.reason


def test_the_deadline_cuts_a_slow_model_off() -> None:
    """A call that runs past the deadline is cancelled, later ones are not started."""

    class Slow(Scripted):
        async def complete(self, *args: Any, **kwargs: Any) -> Completion:
            self.calls.append(args[0])
            await anyio.sleep_forever()
            raise AssertionError

    chat = Slow(lambda _m: "")
    ranking = run("listwise", chat, passages(50)[0], budget=Budget(deadline_ms=50))
    assert len(chat.calls) == 1
    assert ranking.outcome.status == "fallback"
    assert "deadline" in ranking.outcome.reason


def test_cancellation_leaves_no_stray_call_and_keeps_what_was_paid() -> None:
    """A cancelled question stops at once; verdicts that came in are in the cache."""
    candidates, grades, _ = passages(30)
    oracle, cache = Oracle(grades), MemoryCache()

    class Halting(OracleChat):
        async def complete(self, *args: Any, **kwargs: Any) -> Completion:
            if len(oracle.prompts) >= 10:
                await anyio.sleep_forever()
            return await super().complete(*args, **kwargs)

    async def ask() -> None:
        parts = RerankParts(chat=lambda _m: Halting(oracle), cache=cache, limiter=anyio.CapacityLimiter(4))
        with anyio.move_on_after(0.2):
            await Chain.load(Spec.parse("pointwise"), parts).rerank("q", candidates, 5)

    anyio.run(ask)
    assert len(oracle.prompts) == 10
    assert len(cache.kept) == 10


@pytest.mark.parametrize("spec", LLM.values(), ids=str)
def test_asking_again_costs_nothing_and_says_so(spec: str) -> None:
    """A repeated question makes no call, says so, and gives the same ranking."""
    candidates, grades, _ = passages(25)
    cache = MemoryCache()
    first = run(spec, OracleChat(Oracle(grades)), candidates, cache=cache)
    chat = OracleChat(Oracle(grades))
    again = run(spec, chat, candidates, cache=cache)
    assert chat.oracle.prompts == []
    assert ids(again.everything) == ids(first.everything)
    assert "from the cache" in again.outcome.reason
    assert again.outcome.usage.cached > 0


def test_a_changed_passage_is_asked_anew() -> None:
    """A passage with new content under the same id is judged again."""
    candidates, grades, _ = passages(5)
    cache = MemoryCache()
    run("pointwise", OracleChat(Oracle(grades)), candidates, cache=cache)
    changed = [Candidate.from_text("new text", id=candidates[0].id), *candidates[1:]]
    chat = OracleChat(Oracle(grades))
    run("pointwise", chat, changed, cache=cache)
    assert len(chat.oracle.prompts) == 1
