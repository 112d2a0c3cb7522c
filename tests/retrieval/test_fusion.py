"""Fusion: legs share out by how far their hits lie above their floors, whatever their scales."""

from __future__ import annotations

import pytest

from retrieval.fusion import CODE, WEIGHTS, fuse
from storage.qdrant.contract import DENSE, LEXICAL
from storage.records import Candidate, Chunk
from storage.vectors import Hit


def hit(name: str, score: float) -> Hit:
    chunk = Chunk(id=name, document_id=name, source=f"/{name}.md", title="", text=name, start=0, end=1)
    return Hit(chunk, score)


def scores(candidates: list[Candidate]) -> dict[str, float]:
    return {candidate.id: candidate.scores["retrieval"] for candidate in candidates}


def test_hand_made_legs() -> None:
    """Each leg shares its weight out above its floor; every rank and score is kept."""
    dense = [hit("a", 0.8), hit("b", 0.6), hit("c", 0.4)]
    fused = fuse({DENSE: dense, LEXICAL: [hit("b", 9.0), hit("d", 3.0)]}, limit=3)
    assert scores(fused) == pytest.approx({"b": 0.6 / 3 + 0.4 * 0.75, "a": 0.6 * 2 / 3, "d": 0.1, "c": 0.0})
    assert [candidate.id for candidate in fused] == ["b", "a", "d", "c"]
    assert fused[0].ranks == {DENSE: 2, LEXICAL: 1, "retrieval": 1}
    assert fused[0].scores[LEXICAL] == 9.0


def test_a_passage_that_a_leg_did_not_find_gets_nothing_from_it() -> None:
    """One lexical hit among many dense ones comes first: nobody else is given its leg's score."""
    dense = [hit(f"d{n:02}", 0.92 - n / 1000) for n in range(50)]
    fused = fuse({DENSE: dense, LEXICAL: [hit("only", 5.1)]}, limit=50)
    assert fused[0].id == "only"
    assert fused[0].scores["retrieval"] == pytest.approx(WEIGHTS[LEXICAL])
    assert fused[0].ranks == {LEXICAL: 1, "retrieval": 1}
    assert fused[1].id == "d00"


def test_a_lexical_leg_counts_from_its_last_hit_only_if_it_was_cut() -> None:
    """Where BM25 ended by itself the passages that it left out hold no word, and have 0."""
    hits = [hit("a", 6.0), hit("b", 2.0)]
    assert scores(fuse({LEXICAL: hits}, limit=2)) == pytest.approx({"a": 0.4, "b": 0.0})
    assert scores(fuse({LEXICAL: hits}, limit=3)) == pytest.approx({"a": 0.3, "b": 0.1})


def test_the_scale_of_a_leg_does_not_matter() -> None:
    """Cosines between .75 and .92 and cosines around 0 give the same ranking, and the same scores."""
    words = [hit("c", 4.0), hit("a", 1.0)]
    wide = {"a": 0.5, "b": 0.3, "c": -0.1, "d": -0.3}
    narrow = {name: 0.81 + value / 5 for name, value in wide.items()}
    one, other = (
        fuse({DENSE: [hit(*pair) for pair in cosines.items()], LEXICAL: words}, limit=4)
        for cosines in (wide, narrow)
    )
    assert [c.id for c in one] == [c.id for c in other]
    assert scores(one) == pytest.approx(scores(other))


def test_what_alone_holds_a_code_is_first_whatever_the_others_say() -> None:
    """The leg of codes outweighs both others."""
    dense = [hit("near", 0.9), hit("far", 0.1), hit("code", 0.1)]
    words = [hit("near", 9.0), hit("far", 1.0)]
    fused = fuse({DENSE: dense, LEXICAL: words, CODE: [hit("code", 5.0)]}, limit=3)
    assert [candidate.id for candidate in fused] == ["code", "near", "far"]
    assert fused[0].ranks[CODE] == 1


def test_ties_go_to_the_better_single_rank_then_to_the_id() -> None:
    """Equal fused scores always come in the same order."""
    for hits in ([hit("a", 1.0), hit("b", 1.0)], [hit("b", 1.0), hit("a", 1.0)]):
        assert fuse({DENSE: hits}, limit=2)[0].id == hits[0].chunk.id
    assert [c.id for c in fuse({DENSE: [hit("b", 1.0)], LEXICAL: [hit("a", 1.0)]}, limit=1)] == ["b", "a"]


def test_nothing_and_single_hits() -> None:
    """No legs, no candidates; a hit without another to compare it with takes all that its leg gives."""
    assert fuse({}, limit=50) == []
    assert scores(fuse({DENSE: [hit("a", -0.2)]}, limit=5)) == {"a": WEIGHTS[DENSE]}
