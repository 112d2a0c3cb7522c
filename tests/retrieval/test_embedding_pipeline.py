"""Ingesting and asking with an embeddings endpoint, and what is said where it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.chat import Price
from storage.errors import ModelError
from tests.support.embedding_api import EmbeddingApi
from tests.support.endpoint import Endpoint, status
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy


def settings(endpoint: Endpoint, folder: Path, **more: Any) -> Settings:
    """The `openai` profile at a local endpoint."""
    encoder = {"base_url": endpoint.url, "model": "some-embedder", **more.pop("encoder", {})}
    llm = {"base_url": endpoint.url, "prices": {"some-embedder": Price(prompt=2.0)}}
    return Settings.load(data_dir=folder / "data", profile="openai", encoder=encoder, llm=llm, **more)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("# Reranking\n\nReranking puts the best passages first.\n")
    (folder / "b.md").write_text("# 重排序\n\n重排序让最相关的段落排在最前面。\n", encoding="utf-8")
    return folder


def test_the_profile_openai_ingests_and_answers(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """The profile `openai` ingests and answers without a fallback, with every token counted."""
    endpoint.enqueue('{"ranking": [1, 2]}', "Reranking puts the best passages first [1].")
    with RAGPipeline.from_settings(settings(endpoint, tmp_path)) as pipeline:
        report = pipeline.ingest(documents)
        answer = pipeline.ask("What does reranking do?")
    assert {result.status for result in report.documents} == {"ingested"}
    assert report.illegible == 0
    assert {stage.name: stage.status for stage in answer.stages}["retrieval"] == "ok"
    assert all("dense" in candidate.ranks for candidate in answer.candidates)
    assert answer.warnings == ()
    retrieval = answer.stages[0]
    assert (retrieval.usage.calls, retrieval.usage.prompt_tokens) == (1, 4)
    assert retrieval.usage.cost == pytest.approx(8e-06)


def test_late_interaction_without_token_vectors_is_a_flagged_fallback(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """Without token vectors late interaction keeps the retrieval order, flagged, and says why."""
    chosen = settings(
        endpoint, tmp_path, rerank={"spec": "late-interaction"}, answer={"answerer": "extractive"}
    )
    with RAGPipeline.from_settings(chosen) as pipeline:
        pipeline.ingest(documents)
        asked = api.asked
        answer = pipeline.ask("What does reranking do?")
    stage = next(stage for stage in answer.stages if stage.name == "late-interaction")
    assert stage.status == "fallback"
    assert "no token vectors" in stage.reason
    assert any("no token vectors" in warning for warning in answer.warnings)
    assert api.asked == asked + 1
    assert answer.text


def test_an_endpoint_that_is_down_leaves_lexical_search_flagged(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """A question that cannot be embedded is answered from the lexical leg, with a warning."""
    chosen = settings(endpoint, tmp_path, encoder={"max_retries": 0}, answer={"answerer": "extractive"})
    with RAGPipeline.from_settings(chosen) as pipeline:
        pipeline.ingest(documents)
        api.faults.append(status(503, "under maintenance"))
        found = pipeline.search("What does reranking do?", rerank="none")
    assert found.stages[0].status == "partial"
    assert "under maintenance" in found.stages[0].reason
    assert found.candidates
    assert all("dense" not in candidate.ranks for candidate in found.candidates)


def test_an_endpoint_that_fails_stops_an_ingest_which_then_goes_on(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """A failing endpoint stops an ingest; nothing half-written counts, and the next run completes it."""
    api.faults.append(status(401, "Incorrect API key"))
    chosen = settings(endpoint, tmp_path, encoder={"dim": 8})
    with RAGPipeline.from_settings(chosen) as pipeline:
        with pytest.raises(ModelError, match="Incorrect API key"):
            pipeline.ingest(documents)
        assert pipeline.ingest(documents).embedded == 2


def test_a_passage_that_was_cut_is_in_the_reports_warnings(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """The report warns, per document, that the server truncated a passage."""
    api.most_tokens = 6
    with RAGPipeline.from_settings(settings(endpoint, tmp_path)) as pipeline:
        report = pipeline.ingest(documents)
    warned = {Path(result.path).name: result.warnings for result in report.documents}
    assert any("longer than the encoder reads" in warning for warning in warned["a.md"])
    assert warned["b.md"] == ()
