"""Replies of rerank APIs: scores by index in every form in use, and nothing misaligned."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank.api.replies import UnusableRerankReplyError, read_decision, read_scores, read_usage

SCORES = [0.1, 0.9, 0.5]
ITEMS = [{"index": 1, "score": 0.9}, {"index": 2, "score": 0.5}, {"index": 0, "score": 0.1}]


def named(index: str, score: str, kind: type = float) -> dict[str, Any]:
    return {"results": [{index: i, score: kind(one)} for i, one in enumerate(SCORES)]}


FORMS: list[Any] = [
    ITEMS,
    [ITEMS],
    {"results": ITEMS},
    {"data": ITEMS},
    {"rankings": ITEMS},
    {"rerankedResults": ITEMS},
    {"output": {"results": ITEMS}},
    {"output": ITEMS},
    {"code": 0, "message": "success", "data": {"results": ITEMS}},
    {"result": {"data": ITEMS}},
    {"scores": SCORES},
    {"scores": [[one] for one in SCORES]},
    SCORES,
    named("index", "relevance_score"),
    named("index", "relevanceScore"),
    named("Index", "RelevanceScore"),
    named("index", "rerank_score"),
    named("index", "logit"),
    named("corpus_id", "score"),
    named("document_index", "score"),
    named("index", "relevance_score", str),
    {"results": [{"index": str(i), "score": [one]} for i, one in enumerate(SCORES)]},
    {"results": [{"index": float(i), "relevance_score": one, "score": 99} for i, one in enumerate(SCORES)]},
    {"results": [{"index": i, "relevance_score": {"value": one}} for i, one in enumerate(SCORES)]},
    {"results": [{"index": i, "score": f"{one * 100:g}%"} for i, one in enumerate(SCORES)]},
]
MISALIGNED: list[Any] = [
    {"results": [{"score": 0.9, "document": {"text": "t"}}] * 3},
    {"results": [{"index": i + 1, "score": one} for i, one in enumerate(SCORES)]},
    {"results": [{"index": 0, "score": 0.1}, {"index": "0", "score": 0.2}]},
    {"results": [{"index": -1, "score": 0.1}]},
    {"results": [{"index": True, "score": 0.1}]},
    {"results": [{"index": 0.5, "score": 0.1}]},
    {"results": [None]},
    {"scores": [0.1, 0.9]},
    {"results": [{"index": 0, "score": True}]},
    {"results": [{"index": 0, "score": "high"}]},
    {"results": [{"index": 0, "score": {"dense": 0.1, "sparse": 0.2}}]},
    {"results": [{"index": 0, "score": 10**400}]},
    {"data": [{"index": 0, "embedding": [1.0]}]},
    {"results": None},
    {"results": {}},
    {},
    None,
    "text",
]


@pytest.mark.parametrize("reply", FORMS)
def test_scores_are_read_in_every_usual_form(reply: Any) -> None:
    """Whatever the list, the index and the score are called, and wherever the list is."""
    assert read_scores(reply, 3) == SCORES


@pytest.mark.parametrize("reply", MISALIGNED)
def test_a_reply_that_may_be_misaligned_is_refused(reply: Any) -> None:
    """No score goes to another text than its own."""
    with pytest.raises(UnusableRerankReplyError):
        read_scores(reply, 3)


def test_a_text_without_a_score_has_none() -> None:
    """Left out, or with a null; a NaN stays one, which a stage counts."""
    assert read_scores({"results": ITEMS[:2]}, 3) == [None, 0.9, 0.5]
    assert read_scores({"results": [{"index": 0, "score": None}]}, 1) == [None]
    [score] = read_scores({"results": [{"index": 0, "score": "NaN"}]}, 1)
    assert score is not None
    assert math.isnan(score)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["results", "data", "index", "score", "usage", "output"]), inner)
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_any_reply_gives_scores_or_is_refused(reply: Any) -> None:
    """As many as texts were sent; counts of tokens are counts."""
    with contextlib.suppress(UnusableRerankReplyError):
        assert len(read_scores(reply, 2)) == 2
    tokens, searches = read_usage({"usage": reply, "meta": {"billed_units": reply}})
    assert 0 <= tokens < 2**63
    assert 0 <= searches < 2**63


def test_a_decision_that_is_none_says_why() -> None:
    """The server's words are in the reason."""
    with pytest.raises(UnusableRerankReplyError, match="model is loading"):
        read_decision({"error": "model is loading"}, "relevant")
    with pytest.raises(UnusableRerankReplyError, match="not from 0 to 1"):
        read_decision({"answers": {"relevant": {"noul": 1.5}}}, "relevant")
