"""Tests the code that all adapters share, without any framework."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from storage.errors import SpecError
from storage.records import Outcome
from winnow.app.stages import SearchResult
from winnow.integrations.passages import TextRanking, passages

TEXTS = ["Bananas are rich in potassium.", "Apples keep well in a cool cellar."]


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that name a chat model which is not there."""
    monkeypatch.setenv("WINNOW_LLM__BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("WINNOW_LLM__MODEL", "any")


@pytest.mark.usefixtures("down")
def test_a_stage_that_falls_back_is_warned_of_once() -> None:
    """The order of the texts says nothing of it; the warning has the reason, also from async."""
    ranking = TextRanking("pointwise")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        assert [place for place, _ in ranking.rank("fruit", TEXTS, 2)] == [0, 1]
        ranking.rank("fruit", TEXTS, 2)
        asyncio.run(ranking.arank("fruit", TEXTS, 2))
    ranking.close()
    (one,) = (one for one in said if one.category is RuntimeWarning)
    assert "pointwise fallback" in str(one.message)
    assert "127.0.0.1:1" in str(one.message)


def test_the_problems_of_a_search_are_warnings() -> None:
    """A retriever's documents cannot hold them."""
    failed = Outcome("cross-encoder", "fallback", "no model")
    with pytest.warns(RuntimeWarning, match="no model"):
        assert passages(SearchResult("q", "c", (), (failed,))) == []


def test_a_ranking_can_be_closed_and_used_again() -> None:
    """Nothing stays open after `close`, nor after a spec that is none."""
    ranking = TextRanking("nosuch")
    for _ in range(2):
        with pytest.raises(SpecError):
            ranking.rank("fruit", TEXTS, 1)
    assert ranking._wiring is None
    ranking = TextRanking("late-interaction")
    first = ranking.rank("fruit", TEXTS, 1)
    assert ranking._wiring is not None
    encoder = ranking._wiring.encoder
    ranking.close()
    ranking.close()
    assert ranking._wiring is None
    assert ranking.rank("fruit", TEXTS, 1) == first
    assert ranking._wiring is not None
    assert ranking._wiring.encoder is not encoder
    ranking.close()
