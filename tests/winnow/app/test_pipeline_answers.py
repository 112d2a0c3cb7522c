"""Answers from Python: cited exactly, in both languages, logged; and what fell short is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint, said
from tests.support.pipeline_documents import DOCUMENTS, ENGLISH
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy


def test_an_english_question_is_answered_with_an_exact_citation(pipeline: RAGPipeline) -> None:
    """The answer quotes the document, and the citation's span is that quote in the file."""
    answer = pipeline.ask("Can a reranker bring back a passage that retrieval missed?")
    assert "cannot bring back a passage that retrieval missed. [1]" in answer.text
    citation = answer.citations[0]
    assert citation.source.endswith("rerank.md")
    assert citation.headings == ("Reranking",)
    assert DOCUMENTS["rerank.md"][citation.start : citation.end] == citation.quote
    assert {stage.status for stage in answer.stages} == {"ok"}
    assert answer.candidates[0].ranks["final"] == 1
    assert answer.candidates[0].ranks["fusion.late-interaction"] == 1
    assert answer.candidates[0].ranks["fusion"] == 1


def test_a_chinese_question_is_answered_as_an_english_one(pipeline: RAGPipeline) -> None:
    """Chinese is found by both legs and reranked; every stage is well."""
    answer = pipeline.ask("重排序能找回召回阶段漏掉的段落吗？")
    assert answer.citations[0].source.endswith("重排.md")
    assert "重排序无法找回" in answer.text
    assert {stage.status for stage in answer.stages} == {"ok"}
    stages = ("dense", "lexical", "retrieval", "fusion.late-interaction", "fusion", "diversity", "final")
    stages = (*stages, "fusion.cross-encoder")
    assert answer.candidates[0].ranks == dict.fromkeys(stages, 1)


def test_what_the_encoder_cannot_read_is_answered_and_the_degradation_is_said(ingested: Path) -> None:
    """Chinese is answered from the lexical leg, and one warning says what every stage could not do."""
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested / "data", **ENGLISH)) as pipeline:
        answer = pipeline.ask("重排序能找回召回阶段漏掉的段落吗？")
    assert answer.citations[0].source.endswith("重排.md")
    assert "重排序无法找回" in answer.text
    assert {stage.name: stage.status for stage in answer.stages} == {
        "retrieval": "partial",
        "fusion.late-interaction": "fallback",
        "fusion": "fallback",
        "diversity": "ok",
        "generation": "partial",
    }
    assert len(answer.warnings) == 1
    assert "cannot read the question" in answer.warnings[0]


def test_a_floor_of_one_scale_is_not_held_against_another(ingested: Path) -> None:
    """Retrieval's score is not held against the reranker's floor after a fallback, nor in a replay.

    A score of the reranker is.
    """
    chosen = {
        **ENGLISH,
        "rerank": {"spec": "late-interaction,setwise", "on_failure": "fallback"},
        "answer": {"min_score": 2},
    }
    chosen["llm"] = {"base_url": "http://127.0.0.1:9/v1", "max_retries": 0}
    settings = Settings.load(data_dir=ingested / "data", **chosen)
    with RAGPipeline.from_settings(settings) as pipeline:
        fallen = pipeline.ask("重排序能找回召回阶段漏掉的段落吗？")
        assert fallen.answered
        assert "min_score did not decide: late-interaction gave no scores" in fallen.stages[-1].reason
        replayed = pipeline.log.replay(fallen.id).answer
        assert replayed.answered
        assert "did not decide" in replayed.stages[-1].reason
        assert not pipeline.ask("What is reranking?").answered
    settings = Settings.load(data_dir=ingested / "data", **{**chosen, "answer": {"min_score": 0.1}})
    with RAGPipeline.from_settings(settings) as pipeline:
        assert pipeline.ask("What is reranking?").answered


def test_a_logged_answer_comes_back_equal(pipeline: RAGPipeline) -> None:
    """A logged Answer is read back equal, and the list has the newest first."""
    first, second = pipeline.ask("What is reranking?"), pipeline.ask("什么是重排序？")
    assert pipeline.log.get(first.id) == first
    assert pipeline.log.get(second.id[:9]) == second
    assert [summary.id for summary in pipeline.log.list(limit=2)] == [second.id, first.id]


def test_what_is_asked_again_after_reopening_is_the_same(ingested: Path, pipeline: RAGPipeline) -> None:
    """The same question over the same collection gives the same candidates in the same order."""
    one, two = pipeline.ask("What keeps well in a cellar?"), pipeline.ask("What keeps well in a cellar?")
    assert one.candidates == two.candidates
    assert one.id != two.id


def test_a_second_ingest_embeds_nothing(ingested: Path, pipeline: RAGPipeline) -> None:
    """Unchanged files are recognised by their content."""
    report = pipeline.ingest([ingested / "docs"])
    assert report.totals["unchanged"] == 3
    assert report.embedded == 0


def test_search_stops_before_generation_and_logs_nothing(pipeline: RAGPipeline) -> None:
    """`search` gives candidates with ranks; the log does not grow."""
    before = [summary.id for summary in pipeline.log.list(limit=100)]
    found = pipeline.search("potassium", top_k_rerank=2)
    assert [candidate.ranks["final"] for candidate in found.final] == [1, 2]
    judges = ["fusion.late-interaction", "fusion.cross-encoder"]
    assert [stage.name for stage in found.stages] == ["retrieval", *judges, "fusion", "diversity"]
    assert [summary.id for summary in pipeline.log.list(limit=100)] == before


def test_the_spec_none_keeps_the_retrieval_order(pipeline: RAGPipeline) -> None:
    """A spec given with the question overrides the settings, and is logged as given."""
    answer = pipeline.ask("What is reranking?", rerank="none")
    assert answer.rerank == "none"
    assert [candidate.ranks["retrieval"] for candidate in answer.final] == list(
        range(1, len(answer.final) + 1)
    )


def test_a_chat_model_answers_only_when_chosen(ingested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat model is called only with `--answerer openai`, not because a key is in the environment."""
    with Endpoint() as endpoint:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        chosen = Settings.load(data_dir=ingested / "data", llm={"base_url": endpoint.url, "model": "small"})
        with RAGPipeline.from_settings(chosen) as pipeline:
            pipeline.ask("What is rich in potassium?")
            assert endpoint.requests == []
            endpoint.enqueue(said("Bananas are. [1]"))
            answer = pipeline.ask("What is rich in potassium?", answerer="openai")
        assert answer.text == "Bananas are. [1]"
        assert answer.citations[0].source.endswith("fruit.txt")
        assert "Bananas are rich in potassium" in answer.prompt
        assert len(endpoint.requests) == 1
        assert answer.usage.calls == 1


def test_without_token_vectors_late_interaction_computes_them(ingested: Path, tmp_path: Path) -> None:
    """Computed token vectors rank like stored ones, up to their 4-bit rounding."""
    stored = Settings.load(data_dir=ingested / "data")
    without = Settings.load(data_dir=tmp_path / "bare", ingest={"token_vectors": False})
    question = "Can a reranker bring back a passage?"
    with RAGPipeline.from_settings(without) as pipeline:
        pipeline.ingest(ingested / "docs")
        assert pipeline.wiring.collection().fingerprint.token_dim is None
        bare = pipeline.ask(question)
    with RAGPipeline.from_settings(stored) as pipeline:
        full = pipeline.ask(question)
    assert [c.text for c in bare.final] == [c.text for c in full.final]
    for one, other in zip(bare.final, full.final, strict=True):
        ours, theirs = one.scores.get("fusion"), other.scores.get("fusion")
        assert (ours is None) == (theirs is None)
        assert ours is None or ours == pytest.approx(theirs, abs=0.03)
