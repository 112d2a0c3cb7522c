"""A user's own retriever, reranker and generator make a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from storage.errors import BadInputError, WinnowError
from winnow import Candidate, RAGPipeline, Settings

pytestmark = pytest.mark.heavy


class Shelf:
    """A user's plain retriever over bare texts."""

    def search(self, query: str, top_k: int) -> list[str]:
        return ["Bananas are yellow.", "Reranking helps.", "Grass is green."][:top_k]


class Longest:
    """A user's plain reranker."""

    name = "longest"

    def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> list[Candidate]:
        return sorted(candidates, key=lambda candidate: -len(candidate.text))[:top_k]


class Echo:
    """A user's plain generator."""

    def generate(self, question: str, candidates: Sequence[Candidate]) -> str:
        return f"{question} {candidates[0].text} [1]"


def test_ready_plain_parts_make_a_pipeline_that_logs(tmp_path: Path) -> None:
    """A user's three synchronous parts answer, cite and log, without a store or a model."""
    with RAGPipeline(Shelf(), Longest(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        answer = pipeline.ask("Why?", top_k_rerank=1)
        assert answer.text == "Why? Bananas are yellow. [1]"
        assert answer.citations[0].chunk_id == "text-1"
        assert answer.candidates[0].ranks == {"retrieval": 1, "longest": 1, "final": 1}
        assert answer.rerank == "longest"
        assert pipeline.log.get(answer.id) == answer
        assert pipeline("Why?") == answer.text.replace("[1]", "[1]")


def test_ready_parts_have_nothing_to_choose_by_name(tmp_path: Path) -> None:
    """With users' parts a spec or collection is refused rather than ignored."""
    with RAGPipeline(Shelf(), Longest(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        with pytest.raises(BadInputError, match="ready parts"):
            pipeline.ask("Why?", rerank="none")
        with pytest.raises(BadInputError, match="ready parts"):
            pipeline.ask("Why?", collection="x")


class Broken:
    """A user's reranker that fails."""

    name = "broken"

    def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> list[Candidate]:
        raise RuntimeError("out of luck")


def test_a_users_reranker_that_fails_is_a_flagged_fallback(tmp_path: Path) -> None:
    """A user's failing reranker keeps the retrieval order, flagged, or raises with `raise`."""
    with RAGPipeline(Shelf(), Broken(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        answer = pipeline.ask("Why?")
    assert answer.stages[1].status == "fallback"
    assert "out of luck" in answer.warnings[0]
    assert answer.final[0].text == "Bananas are yellow."
    strict = Settings.load(data_dir=tmp_path, rerank={"on_failure": "raise"})
    with (
        RAGPipeline(Shelf(), Broken(), Echo(), settings=strict) as pipeline,
        pytest.raises(WinnowError, match="luck"),
    ):
        pipeline.ask("Why?")


def test_the_answer_of_a_users_generator_is_sent_to_no_chat_model(tmp_path: Path) -> None:
    """Replaying a user's generator's answer requires an answerer to be named, and calls no model."""
    with RAGPipeline(Shelf(), Longest(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        answer = pipeline.ask("Why?")
        with pytest.raises(BadInputError, match="Echo"):
            pipeline.log.replay(answer.id, "none")
        assert pipeline.log.replay(answer.id, "none", answerer="extractive").answer.answerer == "extractive"
