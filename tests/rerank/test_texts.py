"""Reranking without a store, the real score cache, and third-party strategies."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import pytest

from rerank.parts import RerankParts
from rerank.registry import describe, strategy
from rerank.texts import RankedText, rerank_texts
from storage.database import Database
from storage.errors import LogError, SpecError
from storage.log.score_cache import SqlScoreCache
from tests.support.rerank_endpoint import Oracle, OracleChat

TEXTS = ["none", "two", "one", "two"]
GRADES = {"none": 0.0, "one": 1.5, "two": 3.0}


def parts(chat: OracleChat, **more: object) -> RerankParts:
    return RerankParts(chat=lambda _model: chat, **more)  # type: ignore[arg-type]


def run(spec: str, ready: RerankParts, top_k: int | None = None, texts: Sequence[str] = TEXTS):  # type: ignore[no-untyped-def]
    async def ask():  # type: ignore[no-untyped-def]
        return await rerank_texts("which is worth most?", texts, spec, ready, top_k=top_k)

    return anyio.run(ask)


def test_texts_come_back_by_their_place() -> None:
    """Equal texts are told apart by index, and the score is that of the last scoring stage."""
    found = run("pointwise,listwise", parts(OracleChat(Oracle(GRADES))))
    assert found.results == (
        RankedText(1, "two", 10.0),
        RankedText(3, "two", 10.0),
        RankedText(2, "one", 5.0),
        RankedText(0, "none", 0.0),
    )
    assert [outcome.name for outcome in found.outcomes] == ["pointwise", "listwise"]


def test_top_k_cuts_and_must_agree_with_the_spec() -> None:
    """top_k cuts the ranking, and contradicting the spec's `:k` is an error."""
    ready = parts(OracleChat(Oracle(GRADES)))
    assert len(run("pointwise", ready, top_k=2).results) == 2
    with pytest.raises(SpecError, match="top_k_rerank is 2"):
        run("pointwise:3", ready, top_k=2)
    assert run("pointwise", ready, texts=[]).results == ()


def test_verdicts_live_in_sqlite(tmp_path: Path) -> None:
    """Cached verdicts survive the process: the chain ranks the same without a call."""
    url = f"sqlite:///{tmp_path / 'winnow.db'}"
    for spec in ("pointwise", "pairwise", "listwise(permutations=2)", "setwise(size=3)", "tournament"):
        with_calls, database = OracleChat(Oracle(GRADES)), Database.open(url)
        first = run(spec, parts(with_calls, cache=SqlScoreCache(database)))
        database.close()
        without, database = OracleChat(Oracle({})), Database.open(url)
        again = run(spec, parts(without, cache=SqlScoreCache(database)))
        database.close()
        assert with_calls.oracle.prompts, spec
        assert without.oracle.prompts == [], spec
        assert again.results == first.results
        assert "from the cache" in again.outcomes[0].reason


class BrokenCache:
    """A ScoreCache whose database is missing."""

    def get_many(self, fingerprint: str, question: str, passage_hashes: Sequence[str]) -> dict[str, float]:
        raise LogError("the database is locked")

    def put_many(self, fingerprint: str, question: str, scores: Mapping[str, float]) -> None:
        raise LogError("the database is locked")


def test_a_broken_cache_costs_money_but_no_answer() -> None:
    """With a broken cache a stage still ranks, and says what is wrong."""
    found = run("pointwise", parts(OracleChat(Oracle(GRADES)), cache=BrokenCache()))
    assert [result.index for result in found.results] == [1, 3, 2, 0]
    assert found.outcomes[0].status == "ok"
    assert "the database is locked" in found.outcomes[0].reason


PLUGIN = """
from rerank.strategies.none import NoRerank


class Shuffled(NoRerank):
    needs = "luck"
"""


def test_a_package_adds_a_strategy_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's strategy is listed and loaded by name; a broken one is listed as broken."""
    info = tmp_path / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[winnow.rerankers]\nlucky = winnow_plugin:Shuffled\nbroken = winnow_missing:Nothing\n"
    )
    (tmp_path / "winnow_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    listed = {line.name: line for line in describe()}
    assert listed["lucky"].needs == "luck"
    assert "cannot be loaded" in listed["broken"].needs
    assert len(run("lucky", RerankParts(), top_k=2).results) == 2
    with pytest.raises(SpecError, match="winnow_missing"):
        strategy("broken")
    with pytest.raises(SpecError, match="did you mean 'lucky'"):
        strategy("luck")
    sys.modules.pop("winnow_plugin", None)
