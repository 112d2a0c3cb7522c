"""The similarity of two rankings, against values worked out by hand."""

from __future__ import annotations

import pytest

from winnow.app.replay import overlap, rank_biased_overlap


def test_rbo_against_hand_computed_values() -> None:
    """[a b] against [b a], p = 0.9: agreements 0 and 1 give 1·0.81 + 0.1/0.9·(0 + 1·0.81) = 0.9."""
    assert rank_biased_overlap(["a", "b"], ["b", "a"], p=0.9) == pytest.approx(0.9)
    assert rank_biased_overlap(["a", "b"], ["a", "c"], p=0.9) == pytest.approx(0.405 + (0.9 + 0.405) / 9)


@pytest.mark.parametrize(
    ("one", "other", "rbo", "shared"),
    [
        (["a", "b", "c"], ["a", "b", "c"], 1.0, 1.0),
        (["a"], ["b"], 0.0, 0.0),
        ([], [], 1.0, 1.0),
        (["a"], [], 0.0, 0.0),
    ],
)
def test_the_ends_of_the_scale(one: list[str], other: list[str], rbo: float, shared: float) -> None:
    """Equal rankings give 1, disjoint ones 0, and two empty ones count as equal."""
    assert rank_biased_overlap(one, other) == pytest.approx(rbo)
    assert overlap(one, other) == shared
