"""The hybrid query: both legs' ranks and scores kept, an unreadable question flagged."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from pathlib import Path

import anyio
import pytest

from retrieval.base import adapted
from retrieval.encoders.encoder import Encoder
from retrieval.fusion import fuse
from retrieval.hybrid import HybridRetriever, Mode, above_floor
from retrieval.lexical import LexicalEncoder
from storage.errors import BadInputError
from storage.qdrant.contract import Fingerprint, chunk_id, document_id
from storage.qdrant.edge.stores import EdgeCollection, EdgeStores
from storage.reasons import Reason
from storage.records import Candidate, Chunk, Outcome, Retrieval, unreadable_question
from storage.vectors import Hit, Point

PASSAGES = [
    "Reranking reorders the candidates that retrieval found.",
    "Bananas are rich in potassium.",
    "The lexical leg of a hybrid search uses BM25.",
    "重排序把最相关的段落排在最前面。",
    "向量数据库保存每个段落的向量。",
]


def _chunk(text: str, legible: bool = True) -> Chunk:
    document = document_id(f"/{text[:4]}")
    return Chunk(
        id=chunk_id(document, text, 0), document_id=document, source="/x.md", title="", text=text, start=0,
        end=len(text), legible=legible,
    )  # fmt: skip


@pytest.fixture
def encoder(minilm: Encoder) -> Encoder:
    """One that reads no Chinese."""
    return minilm


@pytest.fixture
def collection(tmp_path: Path, encoder: Encoder, lexical: LexicalEncoder) -> Iterator[EdgeCollection]:
    """A small collection in English and Chinese."""
    store = EdgeStores(tmp_path).create(
        "both", Fingerprint(encoder.id, encoder.dim, "none", lexical.id, encoder.token_dim)
    )
    points = []
    for text in PASSAGES:
        readable = encoder.reads(text)
        encoding = encoder.encode_passages([text], tokens=True)[0] if readable else None
        points.append(
            Point(
                _chunk(text, readable),
                lexical.encode_passage(text),
                encoding.dense if encoding else None,
                encoding.tokens if encoding else None,
            )
        )
    store.upsert(points)
    yield store
    store.close()


def test_both_legs_keep_their_ranks_and_scores(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """A passage found by both legs keeps both ranks and scores next to the fused ones."""
    retriever = HybridRetriever(collection, encoder, lexical)
    found = anyio.run(retriever.search, "What does reranking do with candidates?", 50)
    best = found.candidates[0]
    assert best.text == PASSAGES[0]
    assert best.ranks == {"dense": 1, "lexical": 1, "retrieval": 1}
    assert set(best.scores) == {"dense", "lexical", "retrieval"}
    assert found.outcome.status == "ok"
    assert all(not candidate.chunk.legible or "dense" in candidate.ranks for candidate in found.candidates)


def test_a_chinese_question_is_carried_by_the_lexical_leg_and_says_so(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """An illegible question skips the dense leg; the outcome is partial and names the way out."""
    found = anyio.run(HybridRetriever(collection, encoder, lexical).search, "重排序有什么用？", 50)
    assert found.candidates[0].text == PASSAGES[3]
    assert "dense" not in found.candidates[0].ranks
    assert found.outcome.status == "partial"
    assert found.outcome.reason == unreadable_question()


def test_a_question_without_a_searchable_word_is_flagged(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """Punctuation alone has no terms: the lexical leg is left out and the outcome says so."""
    found = anyio.run(HybridRetriever(collection, encoder, lexical).search, "?!", 50)
    assert found.outcome.status == "partial"
    assert "no searchable word" in found.outcome.reason


def test_a_lexical_leg_that_ended_early_says_so(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """A note counts the passages that hold a word of the question; the outcome stays ok."""
    found = anyio.run(HybridRetriever(collection, encoder, lexical).search, "Are bananas healthy?", 3)
    assert found.outcome.status == "ok"
    assert found.outcome.reason == Reason("retrieval.few-hold-a-word", n=1)
    dense = HybridRetriever(collection, encoder, lexical, mode="dense")
    assert not anyio.run(dense.search, "Are bananas healthy?", 50).outcome.reason
    full = anyio.run(HybridRetriever(collection, encoder, lexical).search, "Are bananas healthy?", 1)
    assert not full.outcome.reason


def test_both_legs_together_give_no_more_than_was_asked_for(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """The union of the legs is cut to top_k, and ranked without gaps."""
    mixed = "In short, what does 重排序 do with 向量 of bananas?"
    found = anyio.run(HybridRetriever(collection, encoder, lexical).search, mixed, 2)
    assert [candidate.ranks["retrieval"] for candidate in found.candidates] == [1, 2]


class Plain:
    """A user's synchronous retriever over bare texts."""

    def __init__(self, found: object) -> None:
        self._found = found

    def search(self, query: str, top_k: int) -> object:
        return self._found


class Wrapped:
    """A user's retriever with a plain method that returns an awaitable."""

    def search(self, query: str, top_k: int) -> Coroutine[object, object, list[str]]:
        return self._found(query)

    async def _found(self, query: str) -> list[str]:
        return [f"about {query}"]


def test_a_retriever_that_hands_on_an_awaitable_is_awaited() -> None:
    """A retriever that returns an awaitable is awaited, like rerankers and answerers."""
    found = anyio.run(adapted(Wrapped()).search, "owls", 5)
    assert [candidate.text for candidate in found.candidates] == ["about owls"]


def test_a_users_plain_retriever_gives_ranked_candidates() -> None:
    """Bare texts become candidates with retrieval ranks, cut to top_k."""
    found: Retrieval = anyio.run(adapted(Plain(["one", "two", "three"])).search, "q", 2)
    assert [(candidate.text, candidate.ranks["retrieval"]) for candidate in found.candidates] == [
        ("one", 1),
        ("two", 2),
    ]


_TWICE = [Candidate.from_text("x", id="1"), Candidate.from_text("y", id="1")]


def test_a_users_own_retrieval_is_checked_and_ranked() -> None:
    """A user's order becomes the ranks, scores and outcome stay, and the list is cut to top_k."""
    mine = [Candidate.from_text(text, id=text, source="/x").ranked("bm25", 9, 2.5) for text in "abc"]
    outcome = Outcome("my engine", "partial", "one shard was down", ms=7)
    found: Retrieval = anyio.run(adapted(Plain(Retrieval(tuple(mine), outcome))).search, "q", 2)
    assert [c.ranks for c in found.candidates] == [{"bm25": 9, "retrieval": 1}, {"bm25": 9, "retrieval": 2}]
    assert found.candidates[0].scores == {"bm25": 2.5}
    assert found.outcome == Outcome("retrieval", "partial", "one shard was down", ms=7)


@pytest.mark.parametrize(
    "found",
    [
        *("a text", 7, [3], _TWICE, Retrieval(tuple(_TWICE)), Retrieval((3,))),  # type: ignore[arg-type]
        [Candidate.from_text("x", id="1").ranked("mine", 1, float("nan"))],
        Retrieval((), None),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_is_no_list_of_candidates_is_refused(found: object) -> None:
    """A retriever that returns something else, or one candidate twice, is a clear error."""
    with pytest.raises(BadInputError):
        anyio.run(adapted(Plain(found)).search, "q", 5)


def test_an_object_without_search_is_refused() -> None:
    """An object without `search` is refused, and the error names the method."""
    with pytest.raises(BadInputError, match="search"):
        adapted(object())


@pytest.mark.parametrize(("mode", "floor"), [("hybrid", 0.3), ("dense", 0.3), ("hybrid", 0.999)])
def test_candidates_below_the_floor_are_cut_and_counted(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder, mode: Mode, floor: float
) -> None:
    """The remaining candidates are ranked from 1 without gaps, and the outcome counts those cut."""
    question = "What does reranking do with candidates?"
    whole = anyio.run(HybridRetriever(collection, encoder, lexical, mode=mode).search, question, 50)
    cut = HybridRetriever(collection, encoder, lexical, mode=mode, min_score=floor)
    found = anyio.run(cut.search, question, 50)
    high = [c.id for c in whole.candidates if c.scores["dense"] >= floor]
    assert len(high) < len(whole.candidates)
    assert [c.id for c in found.candidates] == high
    assert [c.ranks["retrieval"] for c in found.candidates] == [*range(1, len(high) + 1)]
    assert found.outcome.status == "ok"
    assert f"{len(whole.candidates) - len(high)} of {len(whole.candidates)}" in found.outcome.reason


def test_what_has_no_cosine_stays_above_any_floor_and_is_mentioned(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """Passages without a cosine stay above any floor, and the outcome mentions them."""
    floored = HybridRetriever(collection, encoder, lexical, min_score=0.999)
    mixed = anyio.run(floored.search, "In short, what does 重排序 do with the candidates of retrieval?", 50)
    assert [c.text for c in mixed.candidates] == [PASSAGES[3]]
    assert "have no cosine" in mixed.outcome.reason
    chinese = anyio.run(floored.search, "重排序有什么用？", 50)
    assert chinese.candidates
    assert chinese.outcome.status == "partial"
    assert "nothing was cut" in chinese.outcome.reason


def test_a_passage_beyond_the_dense_leg_goes_where_its_last_hit_goes() -> None:
    """A passage beyond the dense leg's last hit is kept or cut with that hit."""
    a, b, c = (_chunk(text) for text in ("aaaa", "bbbb", "cccc"))
    dense = [Hit(a, 0.8), Hit(b, 0.4)]
    candidates = fuse({"dense": dense, "lexical": [Hit(c, 9.0)]}, limit=9)
    assert {one.text for one in above_floor(candidates, dense, 0.5)[0]} == {"aaaa"}
    assert {one.text for one in above_floor(candidates, dense, 0.4)[0]} == {"aaaa", "bbbb", "cccc"}


def test_a_floor_without_a_dense_leg_is_refused(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """min_score is a cosine, so lexical search alone refuses it."""
    with pytest.raises(BadInputError, match="cosine"):
        HybridRetriever(collection, encoder, lexical, mode="lexical", min_score=0.3)


def test_an_overlong_question_is_searched_and_flagged(
    collection: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """The search uses the part that the encoder reads, and the outcome says that the rest was cut."""
    question = "What does reranking do with candidates? " * 100
    found = anyio.run(HybridRetriever(collection, encoder, lexical).search, question, 50)
    assert found.candidates[0].text == PASSAGES[0]
    assert found.outcome.status == "partial"
    assert "longer than the encoder reads" in found.outcome.reason
