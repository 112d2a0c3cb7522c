"""Fusing late interaction, or any other strategy, with the legs of retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
import pytest

from rerank.base import by_score, unchanged
from rerank.strategies.fusion import Fusion, FusionOptions
from storage.records import Candidate, Chunk, Outcome, Ranking


class Fixed:
    """A strategy with known scores; None makes it fail."""

    def __init__(self, scores: Mapping[str, float] | None) -> None:
        self._scores = scores

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        if self._scores is None:
            return unchanged(candidates, top_k, Outcome("fusion.judge", "fallback", "out of order"))
        return by_score("fusion.judge", candidates, [self._scores[c.id] for c in candidates], top_k)


def candidate(name: str, **scores: float) -> Candidate:
    """Return a candidate with stage scores; its ranks are arbitrary, as only `rrf` reads them."""
    chunk = Chunk(id=name, document_id="d", source="d.md", title="", text=name, start=0, end=1)
    return Candidate(chunk, dict.fromkeys(scores, 1), scores)


def fused(candidates: Sequence[Candidate], judge: Mapping[str, float] | None, **options: object) -> Ranking:
    """The ranking of all candidates."""
    reranker = Fusion("fusion", [Fixed(judge)], FusionOptions(of="judge", **options))  # type: ignore[arg-type]
    return anyio.run(reranker.rerank, "question", candidates, len(candidates))


def scores(ranking: Ranking) -> dict[str, float]:
    return {one.id: one.scores["fusion"] for one in ranking.candidates}


def test_each_list_is_divided_by_its_best_and_the_scale_is_the_first_members() -> None:
    """0.8 · (member / its best + 0.5 dense / its best + 0.5 lexical / its best) / 2, by hand."""
    given = [candidate("a", dense=0.5, lexical=4), candidate("b", dense=0.25, lexical=8), candidate("c")]
    ranking = fused(given, {"a": 0.8, "b": 0.6, "c": 0.4})
    # c was found by neither leg: it gets what the worst one got there
    by_hand = {"a": 1 + 0.5 + 0.25, "b": 0.75 + 0.25 + 0.5, "c": 0.5 + 0.25 + 0.25}
    assert scores(ranking) == pytest.approx({name: 0.8 * s / 2 for name, s in by_hand.items()})
    assert [one.id for one in ranking.candidates] == ["a", "b", "c"]
    assert ranking.outcomes[-1] == Outcome("fusion")


def test_a_leg_that_did_not_search_takes_no_part() -> None:
    """With dense retrieval alone, the member and half of the dense leg decide, and the outcome is ok."""
    given = [candidate("a", dense=0.2), candidate("b", dense=0.4)]
    ranking = fused(given, {"a": 0.9, "b": 0.8})
    by_hand = {"a": 1 + 0.25 * 0.5, "b": 0.8 / 0.9 + 0.25}
    assert scores(ranking) == pytest.approx({name: 0.9 * s / 1.25 for name, s in by_hand.items()})
    assert [one.id for one in ranking.candidates] == ["b", "a"]
    assert ranking.outcomes[-1].status == "ok"


def test_texts_of_somebody_elses_retrieval_have_no_list_to_fuse_with() -> None:
    """Without leg scores the member decides alone, and the outcome says so."""
    ranking = fused([candidate("a"), candidate("b")], {"a": 0.1, "b": 0.7})
    assert scores(ranking) == pytest.approx({"a": 0.1, "b": 0.7})
    assert "without ranks" in ranking.outcomes[-1].reason


def test_scores_below_zero_are_left_out_and_flagged() -> None:
    """Negative scores cannot be scaled by the best one; they are left out and flagged."""
    ranking = fused([candidate("a", dense=0.2), candidate("b", dense=0.4)], {"a": -1.0, "b": -2.0})
    assert [one.id for one in ranking.candidates] == ["b", "a"]
    assert ranking.outcomes[-1].status == "partial"
    assert "fusion.judge gives no scores for this" in ranking.outcomes[-1].reason


def test_without_any_usable_score_the_ranks_decide() -> None:
    """Without usable scores the member's order is kept."""
    ranking = fused([candidate("a"), candidate("b")], {"a": -2.0, "b": -1.0})
    assert [one.id for one in ranking.candidates] == ["b", "a"]
    assert ranking.outcomes[-1].status == "partial"


def test_a_member_that_falls_back_leaves_retrievals_order_with_its_reason() -> None:
    """A fallback of the only member keeps retrieval's order: fusing the legs alone would repeat it."""
    given = [candidate("a", dense=0.1, lexical=1), candidate("b", dense=0.9, lexical=9)]
    ranking = fused(given, None)
    assert [one.id for one in ranking.candidates] == ["a", "b"]
    assert ranking.outcomes[-1] == Outcome("fusion", "fallback", "out of order")


def test_members_that_fall_back_for_one_cause_give_one_reason() -> None:
    """A reason shared by several members is given once."""
    fusion = Fusion("fusion", [Fixed(None), Fixed(None)], FusionOptions())  # type: ignore[list-item]
    ranking = anyio.run(fusion.rerank, "q", [candidate("a", dense=0.1)], 1)
    assert ranking.outcomes[-1] == Outcome("fusion", "fallback", "out of order")


@pytest.mark.parametrize("method", ["max", "zscore", "rrf"])
def test_every_method_weighs_what_it_is_told(method: str) -> None:
    """A leg with weight 0 changes nothing; one with a large weight decides."""
    given = [
        replace(candidate("a", dense=0.1), ranks={"dense": 2}),
        replace(candidate("b", dense=0.9), ranks={"dense": 1}),
    ]
    judge = {"a": 0.9, "b": 0.1}
    for weight, best in ((0.0, "a"), (100.0, "b")):
        ranking = fused(given, judge, method=method, dense=weight)
        assert ranking.candidates[0].id == best
