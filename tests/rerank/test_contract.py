"""One contract for every registered strategy."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import anyio
import numpy as np
import pytest

from rerank.base import Reranker
from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.registry import STRATEGIES, describe, strategy
from rerank.spec import Spec
from rerank.strategies.late_interaction import LateInteraction
from retrieval.encoders.encoder import Encoder
from storage.records import Candidate
from storage.vectors import Encoding, Floats, max_sim
from tests.support import tiny_models
from tests.support.endpoint import Endpoint
from tests.support.rerank_endpoint import SHAPES, Oracle, OracleChat, rerank_route, systemone_route

pytestmark = pytest.mark.heavy


class LetterEncoder:
    """One vector a word, from its letters; it reads no Chinese. Counts what it encodes."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def reads(self, text: str) -> bool:
        return text.isascii()

    def encode_query(self, text: str) -> Encoding:
        return self._encode(text)

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        self.encoded += texts
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> Encoding:
        rows = [self._word(word) for word in text.lower().split()] or [self._word("")]
        return Encoding(rows[0], np.stack(rows))

    def _word(self, word: str) -> Floats:
        counts = np.bincount([ord(letter) % 32 for letter in word], minlength=32).astype(np.float32)
        return counts / max(float(np.linalg.norm(counts)), 1e-9)


@dataclass
class StoredTokens:
    """Token vectors of some passages, as a store has them."""

    vectors: dict[str, Floats]

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        return {i: max_sim(query, self.vectors[i]) for i in chunk_ids if i in self.vectors}

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        return {i: self.vectors[i] for i in chunk_ids if i in self.vectors}


WORDS = ["rank", "passage", "query", "score", "model", "token", "vector", "window", "tournament", "label"]


def passages(n: int, seed: int = 7) -> list[Candidate]:
    random = Random(seed)
    texts = [" ".join(random.choices(WORDS, k=6)) for _ in range(n)]
    made = [Candidate.from_text(text, id=f"c{i}") for i, text in enumerate(texts)]
    dates = [f"20{i % 25:02}-01-31" for i in range(n)]
    return [
        replace(one, chunk=replace(one.chunk, metadata={"date": date}))
        for one, date in zip(made, dates, strict=True)
    ]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Reranker]]:
    """Every strategy with real parts: a model on disk, an HTTP server, an oracle for a language model."""
    folder = tiny_models.bert(tmp_path_factory.mktemp("bert"))
    with Endpoint() as endpoint:
        endpoint.routes["/v1/rerank"] = rerank_route(SHAPES["vllm"], lambda _query, text: len(text) / 99)
        endpoint.routes["/v1/systemone"] = systemone_route(lambda _query, text: len(text) / 99)
        parts = RerankParts(
            encoder=LetterEncoder(),
            chat=lambda _model: OracleChat(Oracle({c.text: len(c.text) % 4 for c in passages(60)})),
            locate=lambda _model: folder,
            device="cpu",
        )
        options: dict[str, dict[str, str]] = {
            "api": {"profile": "custom", "url": endpoint.root},
            "boost": {"where": 'text contains "rank"'},
            "decision": {"url": endpoint.root},
        }
        yield lambda name: strategy(name).load(parts, name, **options.get(name, {}))


Make = Callable[[str], Reranker]


def rank(reranker: Reranker, candidates: Sequence[Candidate], top_k: int):  # type: ignore[no-untyped-def]
    return anyio.run(reranker.rerank, "rank the passage", candidates, top_k)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
class TestEveryStrategy:
    def test_gives_back_what_it_was_given(self, make: Make, name: str) -> None:
        """Nothing lost, nothing invented, nothing twice, at most top_k kept, for every size."""
        for n in (1, 2, 20, 21, 55):
            given = passages(n)
            before = list(given)
            ranking = rank(make(name), given, 5)
            assert len(ranking.candidates) == min(5, n)
            assert sorted(c.id for c in ranking.everything) == sorted(c.id for c in given)
            assert given == before
            assert ranking.outcome.status == "ok"

    def test_nothing_gives_nothing(self, make: Make, name: str) -> None:
        """No candidates: an empty ranking, no error."""
        assert rank(make(name), [], 5).everything == ()

    def test_more_wanted_than_given(self, make: Make, name: str) -> None:
        """top_k above the number of candidates keeps all."""
        assert len(rank(make(name), passages(3), 10).candidates) == 3

    def test_earlier_ranks_stay(self, make: Make, name: str) -> None:
        """A stage adds its rank to the earlier ones and overwrites none."""
        given = [c.ranked("retrieval", i, 1.0 / i) for i, c in enumerate(passages(6), start=1)]
        for position, candidate in enumerate(rank(make(name), given, 6).candidates, start=1):
            assert candidate.ranks[name] == position
            assert (
                candidate.ranks["retrieval"]
                == next(c for c in given if c.id == candidate.id).ranks["retrieval"]
            )

    def test_passages_of_the_same_text_are_all_kept(self, make: Make, name: str) -> None:
        """Passages with equal texts are all kept."""
        given = [Candidate.from_text("the same text", id=f"c{i}") for i in range(6)]
        assert sorted(c.id for c in rank(make(name), given, 6).candidates) == [c.id for c in given]

    def test_the_same_input_gives_the_same_output(self, make: Make, name: str) -> None:
        """No randomness, no dependence on hashing."""
        given = passages(25)
        first, second = rank(make(name), given, 5), rank(make(name), given, 5)
        assert first.everything == second.everything
        assert first.outcome.usage == second.outcome.usage

    def test_it_describes_itself(self, name: str) -> None:
        """A strategy's needs and number of calls are known before anything is loaded."""
        assert strategy(name).needs
        assert strategy(name).calls(50, 5) >= 0


def test_the_list_names_every_strategy() -> None:
    """`winnow rerankers list` has a line for each strategy."""
    assert [line.name for line in describe()][: len(STRATEGIES)] == list(STRATEGIES)


def test_importing_rerank_loads_no_model_library() -> None:
    """Importing the registry and the chain, and describing the strategies, loads no model library."""
    code = (
        "import sys, rerank.chain, rerank.registry; rerank.registry.describe();"
        "heavy = {'torch', 'transformers', 'qdrant_client', 'qdrant_edge', 'openai'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


class TestLateInteraction:
    def test_stored_vectors_are_used_and_the_others_computed(self) -> None:
        """Only passages without stored token vectors are encoded, and the outcome counts them."""
        given, encoder = passages(6), LetterEncoder()
        stored = {c.id: encoder._encode(c.text).tokens for c in given[:4]}
        parts = RerankParts(encoder=encoder, scorer=StoredTokens(stored))  # type: ignore[arg-type]
        chain = Chain.load(Spec.parse("fast"), parts)
        ranking = rank(chain, given, 6)
        assert encoder.encoded == [given[4].text, given[5].text]
        assert ranking.outcome.status == "ok"
        assert "2 passages encoded" in ranking.outcome.reason
        everything = rank(LateInteraction(LetterEncoder(), None), given, 6)
        assert [c.id for c in ranking.candidates] == [c.id for c in everything.candidates]
        assert all(-1 <= c.scores["fusion.late-interaction"] <= 1 for c in ranking.candidates)

    def test_an_illegible_question_falls_back_and_says_so(self) -> None:
        """A question that the encoder cannot read leaves the order alone and names the way out."""
        given = passages(6)
        ranking = anyio.run(LateInteraction(LetterEncoder(), None).rerank, "重排序是什么", given, 3)
        assert list(ranking.everything) == given
        assert ranking.outcome.status == "fallback"
        assert "multilingual" in ranking.outcome.reason

    def test_what_is_cut_is_said(self, encoder: Encoder) -> None:
        """A question or a passage longer than the encoder reads is ranked by its beginning, and flagged."""
        given = [
            Candidate.from_text("a reranker " * 400, id="long"),
            Candidate.from_text("a fox", id="short"),
        ]
        reranker = LateInteraction(encoder, None)
        ranking = anyio.run(reranker.rerank, "what is a reranker?", given, 2)
        assert ranking.candidates[0].id == "long"
        assert ranking.outcome.status == "partial"
        assert "1 passage is longer" in ranking.outcome.reason
        ranking = anyio.run(reranker.rerank, "what is a reranker? " * 100, given[1:], 1)
        assert "the question is longer" in ranking.outcome.reason

    def test_illegible_passages_follow_and_are_counted(self) -> None:
        """Passages that the encoder cannot read come last, in the incoming order, and are counted."""
        given = passages(4)
        given.insert(0, Candidate.from_text("重排序", id="zh"))
        flagged = replace(given[2].chunk, legible=False)
        given[2] = replace(given[2], chunk=flagged)
        ranking = rank(LateInteraction(LetterEncoder(), None), given, 5)
        assert [c.id for c in ranking.candidates][-2:] == ["zh", flagged.id]
        assert ranking.outcome.status == "partial"
        assert "2 of 5" in ranking.outcome.reason
