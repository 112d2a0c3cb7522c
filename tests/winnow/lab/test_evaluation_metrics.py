"""Metrics and intervals against values worked out by hand."""

import math

import numpy as np
import pytest

from storage.records import Candidate, Chunk
from winnow.lab.evaluation import (
    contains,
    difference,
    exact_match,
    interval,
    max_p,
    measured,
    resampled_means,
)
from winnow.lab.evaluation.metrics import containment


def passage(name: str, document: str, text: str = "") -> Candidate:
    return Candidate(
        Chunk(id=name, document_id=document, source=document, title="", text=text, start=0, end=len(text))
    )


def test_ranking_metrics_are_trec_evals() -> None:
    """Linear gain, ideal over all judged documents, the first relevant rank, recall over all relevant."""
    grades = {"q": {"a": 2, "b": 1, "c": 0, "unfound": 1}}
    ndcg, mrr, recall, hit = measured(grades, {"q": ["c", "a", "b"]})["q"]
    gained = 2 / math.log2(3) + 1 / math.log2(4)
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg == pytest.approx(gained / ideal)
    assert (mrr, recall, hit) == (pytest.approx(1 / 2), pytest.approx(2 / 3), 1.0)


def test_cutoffs_hold() -> None:
    """Rank 11 counts for neither nDCG@10 nor MRR@10, rank 6 not for hit@5, rank 51 not for recall."""
    fillers = [f"x{n}" for n in range(60)]
    at_eleven = measured({"q": {"a": 1}}, {"q": [*fillers[:10], "a"]})["q"]
    assert at_eleven == (0.0, 0.0, 1.0, 0.0)
    at_six = measured({"q": {"a": 1}}, {"q": [*fillers[:5], "a"]})["q"]
    assert at_six == (pytest.approx(1 / math.log2(7)), pytest.approx(1 / 6), 1.0, 0.0)
    assert measured({"q": {"a": 1}}, {"q": [*fillers[:50], "a"]})["q"][2] == 0.0


def test_a_question_without_candidates_counts_as_zero() -> None:
    """An empty ranking is not left out of the mean."""
    assert measured({"q": {"a": 1}}, {"q": []}) == {"q": (0.0, 0.0, 0.0, 0.0)}


def test_our_order_is_kept_where_ids_would_break_ties_otherwise() -> None:
    """Ranks decide, where trec_eval would break ties by descending id."""
    assert measured({"q": {"a": 1}}, {"q": ["a", "z"]})["q"][1] == 1.0


def test_documents_stand_where_their_best_passage_does() -> None:
    """MaxP: a document has the rank of its best passage."""
    ranked = [passage("1", "long"), passage("2", "other"), passage("3", "long")]
    assert max_p(ranked) == ["long", "other"]
    assert max_p(ranked, lambda chunk: chunk.source.upper()) == ["LONG", "OTHER"]


def test_answers_are_found_as_whole_words_in_both_languages() -> None:
    """Case, width and punctuation do not matter, word borders do; Chinese is compared by character."""
    assert contains("It began in  OCTOBER, 1973.", ["october 1973"])
    assert contains("价格：１０元", ["10元"])
    assert contains("黑豹队丢了308分。", ["308"])
    assert not contains("It cost 100 dollars", ["10"])
    assert not contains("anything", ["…", ""])


def test_containment_looks_at_five_passages() -> None:
    """A gold answer in the sixth passage is too late."""
    texts = ["no"] * 5 + ["yes"]
    ranked = [passage(str(n), str(n), text) for n, text in enumerate(texts)]
    assert containment(ranked, ["yes"]) == 0.0
    assert containment(ranked[1:], ["yes"]) == 1.0


def test_an_exact_match_leaves_articles_and_markers_aside() -> None:
    """Exact match uses SQuAD's normalisation and ignores citation markers."""
    assert exact_match("The Broncos. [1]", ["broncos"])
    assert not exact_match("The Denver Broncos", ["broncos"])


def test_the_bootstrap_is_paired_and_repeatable() -> None:
    """A constant gain gives an interval of one point, and the same seed the same means."""
    base = np.random.default_rng(7).random(40)
    values = np.stack([base, base + 0.1], axis=1)
    means = resampled_means(values, seed=3, resamples=500)
    found = difference(0.1, means[:, 1] - means[:, 0])
    assert (found.interval.low, found.interval.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.p == pytest.approx(1 / 501)
    assert (means == resampled_means(values, seed=3, resamples=500)).all()
    assert (means != resampled_means(values, seed=4, resamples=500)).any()


def test_no_difference_is_not_significant() -> None:
    """Equal rows have p = 1; gains that cancel out are not significant either."""
    assert difference(0.0, np.zeros(100)).p == 1.0
    gains = np.array([[1.0], [-1.0]] * 20)
    assert difference(0.0, resampled_means(gains, seed=1)[:, 0]).p > 0.9


def test_an_interval_covers_what_theory_says() -> None:
    """The interval of a mean of 400 draws of a fair coin is near 0.5 ± 1.96 · 0.025."""
    coin = np.array([[1.0], [0.0]] * 200)
    spread = interval(resampled_means(coin, seed=1)[:, 0])
    assert spread.low == pytest.approx(0.451, abs=0.006)
    assert spread.high == pytest.approx(0.549, abs=0.006)
