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
    chosen = {"method": "max", "dense": 0.5, "lexical": 0.5, **options}
    reranker = Fusion("fusion", [Fixed(judge)], FusionOptions(of="judge", **chosen))  # type: ignore[arg-type]
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


class EnglishReader:
    """A reader of ASCII with known log-odds; None makes it fail. `read` holds what it was given."""

    name = "fusion.reader"

    def __init__(self, log_odds: Mapping[str, float] | None, *, crowd: int = 0) -> None:
        self._log_odds = log_odds
        self.crowd = crowd
        self.read: list[str] = []

    def reads(self, text: str) -> bool:
        return text.isascii()

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        self.read += [one.id for one in candidates]
        if self._log_odds is None:
            return unchanged(candidates, top_k, Outcome(self.name, "fallback", "no time"))
        return by_score(self.name, candidates, [self._log_odds[c.id] for c in candidates], top_k)


def read(
    query: str,
    given: Sequence[Candidate],
    reader: EnglishReader,
    judge: Mapping[str, float] | None,
    count: int,
) -> Ranking:
    """The ranking of all candidates, of which the reader reads the best `count`."""
    options = FusionOptions(of="judge", read=count)
    fusion = Fusion("fusion", [Fixed(judge)], options, [(reader, 0.3)])  # type: ignore[list-item]
    return anyio.run(fusion.rerank, query, given, len(given))


SEARCHED = [candidate(name, dense=score) for name, score in (("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6))]
JUDGED = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}


def test_the_reader_orders_the_best_and_the_others_follow() -> None:
    """It reads as many as it is told; what it did not read keeps its order below, without a score."""
    reader = EnglishReader({"a": -2.0, "b": 0.5, "c": 3.0, "d": 9.0})
    ranking = read("question", SEARCHED, reader, JUDGED, 3)
    assert [one.id for one in ranking.candidates] == ["c", "b", "a", "d"]
    assert reader.read == ["a", "b", "c"]
    assert 0.9 < ranking.candidates[0].scores["fusion"] < 1
    assert [one.ranks["fusion"] for one in ranking.candidates] == [1, 2, 3, 4]
    assert [outcome.name for outcome in ranking.outcomes] == ["fusion.judge", "fusion.reader", "fusion"]
    assert all(outcome.status == "ok" for outcome in ranking.outcomes)


def test_in_a_crowd_the_reader_is_spared_where_the_others_are_sure() -> None:
    """It reads nothing where they put one clearly first, which the outcome says; else it decides."""
    ahead = {"a": 0.9, "b": 0.3, "c": 0.3, "d": 0.3}
    level = {"a": 0.9, "b": 0.9, "c": 0.3, "d": 0.3}
    same = [candidate(name, dense=0.5) for name in "abcd"]
    for crowd, judge, spared in ((7, ahead, True), (7, level, False), (0, ahead, False)):
        reader = EnglishReader({"a": -2.0, "b": 0.5, "c": -3.0, "d": -9.0}, crowd=crowd)
        ranking = read("question", same, reader, judge, 4)
        outcome = next(one for one in ranking.outcomes if one.name == "fusion.reader")
        assert (reader.read == []) is spared
        assert ranking.candidates[0].id == ("a" if spared else "b")
        assert (outcome.status == "partial") is spared
        assert ("7 questions wait for the model" in str(outcome.reason)) is spared


def test_the_others_decide_where_the_reader_hesitates() -> None:
    """Equal log-odds leave the others' order; a clear difference does not."""
    ranking = read("question", SEARCHED[::-1], EnglishReader(dict.fromkeys("abcd", 1.0)), JUDGED, 4)
    assert [one.id for one in ranking.candidates] == ["a", "b", "c", "d"]
    ranking = read("question", SEARCHED, EnglishReader({"a": 1.0, "b": 1.0, "c": 1.0, "d": 4.0}), JUDGED, 4)
    assert [one.id for one in ranking.candidates] == ["d", "a", "b", "c"]


def test_a_question_that_the_reader_cannot_read_is_judged_by_the_others() -> None:
    """That is no failure: the outcome is ok, and nothing is read."""
    reader = EnglishReader({})
    ranking = read("重排序有什么用？", SEARCHED, reader, JUDGED, 4)
    assert [one.id for one in ranking.candidates] == ["a", "b", "c", "d"]
    assert reader.read == []
    assert [outcome.status for outcome in ranking.outcomes] == ["ok", "ok"]


@pytest.mark.parametrize("unread", [{"a"}, {"b", "c"}, {"d"}, set("abcd"), set()])
def test_passages_that_the_reader_cannot_read_keep_their_places(unread: set[str]) -> None:
    """In every mix the readable ones are ordered among themselves, in the places that they had."""
    given = [
        replace(one, chunk=replace(one.chunk, text="水泵" if one.id in unread else one.id))
        for one in SEARCHED
    ]
    ranking = read("question", given, EnglishReader({"a": 1.0, "b": 3.0, "c": 5.0, "d": 7.0}), JUDGED, 4)
    found = [one.id for one in ranking.candidates]
    assert all(found[place] == name for place, name in enumerate("abcd") if name in unread)
    assert [name for name in found if name not in unread] == sorted(set("abcd") - unread, reverse=True)
    assert ranking.outcomes[-1].status == "ok"


def test_texts_that_no_search_brought_are_read_at_once() -> None:
    """Without legs, and if all can be read, no other judge is asked."""
    bare = [candidate("a"), candidate("b")]
    ranking = read("question", bare, EnglishReader({"a": 0.0, "b": 2.0}), {"a": 0.9, "b": 0.1}, 2)
    assert [one.id for one in ranking.candidates] == ["b", "a"]
    assert "fusion.judge" not in ranking.candidates[0].scores


def test_texts_that_the_reader_cannot_read_are_judged_by_the_others() -> None:
    """Without legs, too: where such a text stands is somebody's judgement."""
    bare = [
        candidate("a"),
        candidate("b"),
        replace(candidate("c"), chunk=replace(candidate("c").chunk, text="水泵")),
    ]
    ranking = read("question", bare, EnglishReader({"a": 0.0, "b": 2.0}), {"a": 0.1, "b": 0.2, "c": 0.9}, 3)
    assert [one.id for one in ranking.candidates] == ["c", "b", "a"]


@pytest.mark.parametrize("count", [0, 4])
def test_a_blank_text_is_last_and_has_no_score(count: int) -> None:
    """Whoever judges the others; the outcome is partial."""
    blank = replace(SEARCHED[0], chunk=replace(SEARCHED[0].chunk, text=" \n"))
    reader = EnglishReader({"b": 1.0, "c": 3.0, "d": 2.0})
    ranking = read("question", [blank, *SEARCHED[1:]], reader, JUDGED, count)
    assert ranking.candidates[-1].id == "a"
    assert "fusion" not in ranking.candidates[-1].scores
    assert ranking.outcomes[-1].status == "partial"
    assert all("fusion" in one.scores for one in ranking.candidates[:-1])
    assert read("question", [blank], EnglishReader({}), JUDGED, count).outcome.status == "fallback"


def test_a_reader_that_fails_leaves_the_others_judgement_and_says_so() -> None:
    """The outcome is partial, with the reader's own reason beside it."""
    ranking = read("question", SEARCHED, EnglishReader(None), JUDGED, 4)
    assert [one.id for one in ranking.candidates] == ["a", "b", "c", "d"]
    assert [outcome.status for outcome in ranking.outcomes] == ["ok", "fallback", "partial"]


def test_the_reader_judges_alone_where_the_others_fail() -> None:
    """The outcome is partial: an encoder behind an endpoint has no token vectors, for one."""
    ranking = read("question", SEARCHED, EnglishReader({"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}), None, 4)
    assert [one.id for one in ranking.candidates] == ["d", "c", "b", "a"]
    assert ranking.outcomes[-1].status == "partial"


def test_one_candidate_and_none() -> None:
    """One is ranked first, none gives nothing."""
    assert [one.id for one in read("q", SEARCHED[:1], EnglishReader({"a": 1.0}), JUDGED, 4).candidates] == [
        "a"
    ]
    fusion = Fusion("fusion", [], FusionOptions(read=4), [(EnglishReader({}), 0.3)])
    assert anyio.run(fusion.rerank, "q", [], 5).candidates == ()


def test_the_only_holder_of_a_code_is_first_whoever_judges() -> None:
    """Neural judges confuse E4711 with E4712; the spelling does not."""
    texts = {"a": "Fault E4712 of the fan", "b": "Fault E4713", "c": "Fault E4711", "d": "nothing"}
    given = [replace(one, chunk=replace(one.chunk, text=texts[one.id])) for one in SEARCHED]
    reader = EnglishReader({"a": 9.0, "b": 8.0, "c": -5.0, "d": -6.0})
    for count in (0, 2, 4):
        ranking = read("What does E4711 mean?", given, reader, JUDGED, count)
        assert [one.id for one in ranking.candidates][:2] == ["c", "a"]
        assert ranking.candidates[0].ranks["fusion"] == 1


class ChineseReader(EnglishReader):
    """Reads what the English one does not."""

    def reads(self, text: str) -> bool:
        return not super().reads(text)


def test_each_question_is_for_the_reader_of_its_language_and_its_weight_of_the_others() -> None:
    """The others' judgement decides beside a reader that is no better than they are."""
    english = EnglishReader({"a": -2.0, "b": 0.5, "c": 3.0, "d": 0.0})
    chinese = ChineseReader({"a": 0.0, "b": 1.0, "c": 4.5, "d": -3.0})
    chinese.name = "chinese"
    given = [replace(one, chunk=replace(one.chunk, text="重排序的段落")) for one in SEARCHED]

    def ranked(question: str, weight: float) -> list[str]:
        options = FusionOptions(of="judge", read=4)
        readers = [(english, 0.3), (chinese, weight)]
        fusion = Fusion("fusion", [Fixed(JUDGED)], options, readers)  # type: ignore[list-item]
        return [one.id for one in anyio.run(fusion.rerank, question, given, 4).candidates]

    assert ranked("什么是重排序？", 0.3) == ["c", "b", "a", "d"]
    assert ranked("什么是重排序？", 16.0) == ["a", "b", "c", "d"]  # four scores count a quarter
    assert chinese.read
    assert not english.read
    assert ranked("question", 4.0) == ["a", "b", "c", "d"]  # it reads none of these passages
    assert not english.read
