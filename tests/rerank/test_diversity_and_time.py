"""Stages for diversity and time: what is said twice, what is new, what meets a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
import numpy as np
import pytest

from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.relevance import relevance
from rerank.spec import Spec
from storage.errors import SpecError
from storage.records import Candidate, Ranking
from storage.vectors import Floats

POLICY = (
    "Employees may work from home on two days a week. Requests go to the team lead, who answers within five "
    "working days; whoever needs a desk reserves one in the calendar on the day before. "
)
OTHER = (
    "Exceptions are made for the night shift, for parents of small children and during renovations: they are "
    "agreed on with the works council, in writing, and end after six months unless they are renewed. "
)


def passage(name: str, text: str, score: float | None = None, **metadata: Any) -> Candidate:
    found = Candidate.from_text(text, id=name, source=f"{name}.md")
    found = replace(found, chunk=replace(found.chunk, metadata=metadata))
    return found if score is None else found.ranked("retrieval", 1, score)


def ranked(spec: str, given: Sequence[Candidate], top_k: int = 5, **parts: Any) -> Ranking:
    chain = Chain.load(Spec.parse(spec), RerankParts(drop_twins=True, **parts))
    return anyio.run(chain.rerank, "q", given, top_k)


def kept(ranking: Ranking) -> list[str]:
    return [one.id for one in ranking.candidates]


class Vectors:
    """Dense vectors of some passages, as a store has them."""

    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self._vectors = {name: np.asarray(one, np.float32) for name, one in vectors.items()}

    def dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        return {one: self._vectors[one] for one in chunk_ids if one in self._vectors}


class TestDiversity:
    def test_what_says_the_same_takes_one_place(self) -> None:
        """Equal texts, copies in other letters and copies with a few words more fold into the first."""
        given = [
            passage("a", POLICY),
            passage("copy", POLICY),
            passage("loud", POLICY.upper().replace(" ", "\n")),
            passage("near", POLICY + "Valid from May."),
            passage("other", OTHER),
        ]
        ranking = ranked("diversity(weight=0)", given)
        assert kept(ranking) == ["a", "other"]
        assert [one.id for one in ranking.everything] == ["a", "other", "copy", "loud", "near"]
        assert ranking.outcome.status == "ok"
        [reason] = ranking.outcomes
        assert reason.reason.values["twins"] == ("a.md: copy.md loud.md near.md",)
        assert "3 passages say the same as one that stays" in reason.reason

    def test_of_versions_the_newest_stays(self) -> None:
        """Where documents have dates the newest of what says the same stays, in the place of the best."""
        dates = {"v3": "2022-03-01", "v1": "2020-03-01", "v5": "2024-03-01", "other": "2019-01-01"}
        texts = {"v3": POLICY, "v1": f"{POLICY} One.", "v5": f"{POLICY} Five.", "other": OTHER}
        given = [passage(name, texts[name], date=date) for name, date in dates.items()]
        given.append(passage("undated", POLICY))
        ranking = ranked("diversity(weight=0)", given, 2)
        assert kept(ranking) == ["v5", "other"]
        assert [one.id for one in ranking.dropped] == ["v1", "v3", "undated"]
        assert kept(ranked("diversity(weight=0)", [given[0], given[3], given[2]], 1)) == ["v5"]

    def test_chinese_is_compared_too(self) -> None:
        """Full and half width, and one more sentence, are no difference in Chinese either."""
        text = (
            "员工每周可以在家办公两天，申请交给组长，组长在五个工作日内答复；需要工位的人提前一天在日历里预约。"
            * 3
        )
        given = [passage("a", text), passage("b", text.replace("，", ",")), passage("c", OTHER)]
        assert kept(ranked("diversity(weight=0)", given)) == ["a", "c"]

    def test_records_of_one_file_are_alike_by_their_form(self) -> None:
        """Rows of a table that differ in a word are other facts; equal ones are not."""
        rows = [passage(f"r{i}", f"{POLICY} Desk {i} is free.") for i in range(4)]
        rows = [replace(r, chunk=replace(r.chunk, source=f"desks.csv#{i}")) for i, r in enumerate(rows)]
        assert kept(ranked("diversity(weight=0)", rows)) == ["r0", "r1", "r2", "r3"]
        twice = [*rows, replace(rows[0], chunk=replace(rows[0].chunk, id="again", source="desks.csv#9"))]
        assert kept(ranked("diversity(weight=0)", twice)) == ["r0", "r1", "r2", "r3"]

    def test_short_texts_are_read_with_their_headings(self) -> None:
        """`Yes.` under two headings answers two questions."""
        given = [passage("dogs", "Yes."), passage("cats", "Yes."), passage("dogs-too", "Yes.")]
        titles = ("Are dogs allowed?", "Are cats allowed?", "Are dogs allowed?")
        given = [
            replace(one, chunk=replace(one.chunk, title=title))
            for one, title in zip(given, titles, strict=True)
        ]
        assert kept(ranked("diversity(weight=0)", given)) == ["dogs", "cats"]

    def test_alike_is_a_choice(self) -> None:
        """With alike=1 only equal passages fold."""
        given = [passage("a", POLICY), passage("near", POLICY + "Valid from May."), passage("copy", POLICY)]
        assert kept(ranked("diversity(weight=0,alike=1)", given)) == ["a", "near"]

    def test_texts_of_ones_own_are_all_given_back(self) -> None:
        """Where nothing is to be dropped, what says the same comes last, or stays with a weight of 0."""
        given = [passage("a", POLICY), passage("copy", POLICY), passage("other", OTHER)]
        for spec, order in (
            ("diversity", ["a", "other", "copy"]),
            ("diversity(weight=0)", ["a", "copy", "other"]),
        ):
            chain = Chain.load(Spec.parse(spec), RerankParts())
            assert kept(anyio.run(chain.rerank, "q", given, 3)) == order

    def test_similar_passages_have_to_be_more_relevant(self) -> None:
        """The second place goes to a less relevant passage of another kind, unless relevance weighs all."""
        vectors = Vectors({"a": [1, 0], "a2": [0.99, 0.1], "a3": [0.98, -0.1], "b": [0, 1]})
        given = [
            passage(name, f"text {name}", score)
            for name, score in (("a", 0.9), ("a2", 0.85), ("a3", 0.8), ("b", 0.7))
        ]
        assert kept(ranked("diversity", given, 2, scorer=vectors)) == ["a", "b"]
        assert kept(ranked("diversity(weight=0)", given, 2, scorer=vectors)) == ["a", "a2"]

    def test_passages_without_vectors_are_like_no_other(self) -> None:
        """They keep their relevance, and the outcome counts them."""
        given = [passage(name, f"text {name}", score) for name, score in (("a", 0.9), ("b", 0.8), ("c", 0.7))]
        ranking = ranked("diversity", given, 3, scorer=Vectors({"a": [1, 0], "b": [1, 0]}))
        assert kept(ranking) == ["a", "c", "b"] or kept(ranking) == ["a", "b", "c"]
        assert "1 of 3 passages have no vector" in ranking.outcome.reason


class TestRecency:
    def test_the_newest_of_equally_relevant_versions_comes_first(self) -> None:
        """Six versions and their exceptions: the newest first, then what age leaves of the others."""
        years = (2019, 2020, 2021, 2022, 2023, 2024)
        given = [
            passage(f"v{year}", f"{POLICY} {year}", 0.9 - i / 1000, date=f"{year}-03-01")
            for i, year in enumerate(years)
        ]
        given.insert(3, passage("exceptions", OTHER, 0.8985, date="2024-03-01"))
        spec = "recency(field=date,half_life=365),diversity(weight=0)"
        found = kept(ranked(spec, given))
        assert found[0] == "exceptions" or found[0] == "v2024"
        assert {"v2024", "exceptions"} <= set(found)

    def test_age_takes_no_more_than_its_weight(self) -> None:
        """An old passage that is far more relevant stays first."""
        given = [passage("old", "a", 0.9, date="1990-01-01"), passage("new", "b", 0.3, date="2024-01-01")]
        assert kept(ranked("recency", given)) == ["old", "new"]
        assert kept(ranked("recency(weight=1)", given)) == ["new", "old"]
        scores = ranked("recency(half_life=1,weight=0.5)", given).candidates[0].scores
        assert scores["recency"] == pytest.approx(0.45)

    def test_numbers_and_times_are_dates_too(self) -> None:
        """A version number counts in its own unit; a time of day breaks a tie."""
        given = [passage("v1", "a", 0.9, version=1), passage("v7", "b", 0.9, version=7)]
        assert kept(ranked("recency(field=version,half_life=1)", given)) == ["v7", "v1"]
        given = [
            passage("noon", "a", 0.9, at="2024-01-01T12:00"),
            passage("later", "b", 0.9, at="2024-01-01T12:00+00:00"),
            passage("evening", "c", 0.9, at="2024-01-01 20:00:00"),
        ]
        assert kept(ranked("recency(field=at,half_life=0.1)", given)) == ["evening", "noon", "later"]

    def test_passages_without_a_date_are_counted(self) -> None:
        """They count as one half-life old; where none has the field, the stage says that it did nothing."""
        dates = {"a": None, "new": "2024-01-01", "ancient": "1950-01-01", "odd": "May"}
        given = [passage(name, name, 0.9, date=date) for name, date in dates.items()]
        ranking = ranked("recency", given)
        assert kept(ranking) == ["new", "a", "odd", "ancient"]
        assert ranking.outcome.status == "ok"
        assert "2 of 4 passages have no date or number in date" in ranking.outcome.reason
        ranking = ranked("recency(field=dat)", given)
        assert kept(ranking) == ["a", "new", "ancient", "odd"]
        assert ranking.outcome.status == "partial"


class TestBoost:
    def test_what_meets_the_filter_counts_more(self) -> None:
        """Relevance is multiplied, so that a boost lifts but does not carry to the top what is irrelevant."""
        given = [
            passage("a", "a", 0.9, lang="en"),
            passage("b", "b", 0.5, lang="zh"),
            passage("c", "c", 0.1, lang="zh"),
        ]
        assert kept(ranked("boost(where=\"lang = 'zh'\",factor=2)", given)) == ["b", "a", "c"]
        assert kept(ranked("boost(where=\"lang = 'en'\",factor=0.1)", given)) == ["b", "c", "a"]
        of_years = [passage("d", "d", 0.5, year=2019), passage("e", "e", 0.5, year=2020)]
        assert kept(ranked("boost(where=\"year = '2020'\")", of_years)) == ["e", "d"]
        assert "none of 3 passages meets" in ranked("boost(where=\"lang = 'fr'\")", given).outcome.reason

    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            ("diversity(weight=2)", "weight must be at most 1"),
            ("recency(half_life=0)", "half_life must be above 0"),
            ("diversity(alike=0.1)", "alike must be at least 0.5"),
        ],
    )
    def test_bounds_are_said(self, spec: str, says: str) -> None:
        """An option beyond its bounds names the bound."""
        with pytest.raises(SpecError, match=says):
            ranked(spec, [])

    @pytest.mark.parametrize("options", ["", "(factor=2)", '(where="lang =")', '(where="a = 1",factor=0)'])
    def test_a_boost_needs_a_filter(self, options: str) -> None:
        """Without a filter, with one that does not parse or a factor of 0, the spec is refused."""
        with pytest.raises(SpecError):
            ranked(f"boost{options}", [])


def test_relevance_never_rises_along_the_order() -> None:
    """The last stage's scores, stretched to 0 to 1 where they are beyond; places where there are none."""
    given = [passage(name, name, score) for name, score in (("a", 0.9), ("b", 0.2), ("c", 0.6))]
    assert relevance(given) == [0.9, 0.2, 0.2]
    logits = [passage(name, name, score) for name, score in (("a", 7.0), ("b", 3.0), ("c", -1.0))]
    assert relevance(logits) == [1.0, 0.5, 0.0]
    assert relevance([passage("a", "a"), passage("b", "b")]) == [1.0, 0.5]
    judged = [given[0].ranked("cross-encoder", 1, 0.4), given[1]]
    assert relevance(judged) == [0.4, 0.0]
