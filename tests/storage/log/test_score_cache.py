"""The score cache: no verdict is paid for twice, and its size is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.log.score_cache import SqlScoreCache
from tests.support.log_samples import DATABASES, a_database


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with a_database(request.param, tmp_path) as database:
        yield database


def test_scores_come_back_by_strategy_question_and_passage(database: Database) -> None:
    """Scores are keyed by strategy, question and passage."""
    cache = SqlScoreCache(database)
    cache.put_many("listwise:m1", "为什么？", {"a": 1.5, "b": -2})
    cache.put_many("listwise:m2", "为什么？", {"a": 9.0})
    assert cache.get_many("listwise:m1", "为什么？", ["a", "b", "c"]) == {"a": 1.5, "b": -2.0}
    assert cache.get_many("listwise:m2", "为什么？", ["a", "b"]) == {"a": 9.0}
    assert cache.get_many("listwise:m1", "为什么", ["a"]) == {}
    assert cache.get_many("listwise:m1", "为什么？", []) == {}


def test_a_known_score_stays(database: Database) -> None:
    """The first score stored for a verdict stays."""
    cache = SqlScoreCache(database)
    cache.put_many("f", "q", {"a": 1.0})
    cache.put_many("f", "q", {"a": 2.0, "b": 3.0})
    assert cache.get_many("f", "q", ["a", "b"]) == {"a": 1.0, "b": 3.0}


def test_what_is_no_number_is_not_kept(database: Database) -> None:
    """NaN is not cached, so that an unreadable reply is asked for again."""
    cache = SqlScoreCache(database)
    cache.put_many("f", "q", {"a": float("nan"), "b": 0.0})
    cache.put_many("f", "q", {})
    assert cache.get_many("f", "q", ["a", "b"]) == {"b": 0.0}


def test_a_question_that_no_database_takes_is_cached_too(database: Database) -> None:
    """A question with a lone surrogate is cached like any other."""
    cache = SqlScoreCache(database)
    cache.put_many("f", "q\ud83d", {"a": 1.0})
    assert cache.get_many("f", "q\ud83d", ["a"]) == {"a": 1.0}


def test_more_passages_than_one_query_takes(database: Database) -> None:
    """More verdicts than fit one SQL query are read and written."""
    cache = SqlScoreCache(database)
    scores = {f"pair-{number}": float(number) for number in range(2450)}
    cache.put_many("f", "q", scores)
    assert cache.get_many("f", "q", list(scores)) == scores


def test_the_cache_is_bounded_and_forgets_the_oldest(database: Database) -> None:
    """The cache never exceeds its limit, and drops the oldest scores."""
    cache = SqlScoreCache(database, max_rows=10)
    for number in range(25):
        cache.put_many("f", "q", {f"{number}": float(number)})
    kept = {f"{number}": float(number) for number in range(15, 25)}
    assert cache.get_many("f", "q", [f"{number}" for number in range(25)]) == kept
