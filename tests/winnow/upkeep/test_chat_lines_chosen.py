"""A collection's lines of context are chosen once, and no model is asked that nobody named for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from storage.errors import FingerprintMismatchError, SettingsError
from tests.support.chat_lines import CHINESE, DOCUMENTS, ENGLISH, chunks, ingest
from tests.support.endpoint import Endpoint
from winnow import RAGPipeline, Settings
from winnow.cli.app import app

pytestmark = pytest.mark.heavy


def test_an_evaluation_of_a_corpus_refuses_to_ask_a_chat_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the way out; with summaries it measures."""
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "A word."}\n', encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "word"}\n', encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text("q\td\t1\n", encoding="utf-8")
    command = ["evaluate", str(tmp_path), "--retrieve", "lexical", "--data-dir", str(tmp_path / "data")]
    monkeypatch.setenv("WINNOW_INGEST__CONTEXT", "chat")
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "--context chat" in " ".join(refused.output.split())
    monkeypatch.setenv("WINNOW_INGEST__CONTEXT", "summary")
    assert CliRunner().invoke(app, command).exit_code == 0


def test_another_choice_is_refused_until_reindex_and_none_keeps_the_old(
    tmp_path: Path, endpoint: Endpoint, docs: Path
) -> None:
    """A collection's passages are all of one kind; whoever chooses nothing adds to it as it is."""
    ingest(tmp_path, endpoint, docs, context="summary")
    with pytest.raises(FingerprintMismatchError, match="chunker") as caught:
        ingest(tmp_path, endpoint, docs)
    assert "--reindex" in caught.value.way_out
    with RAGPipeline.from_settings(Settings.load(data_dir=tmp_path / "data")) as pipeline:
        assert pipeline.ingest(docs).totals["unchanged"] == len(DOCUMENTS)
        pipeline.ingest(reindex=True)
        lines = {chunk.about for chunk in chunks(pipeline)}
        assert lines == {"", ENGLISH, CHINESE}
    with RAGPipeline.from_settings(
        Settings.load(data_dir=tmp_path / "data", ingest={"context": "off"})
    ) as pipeline:
        pipeline.ingest(reindex=True)
        assert {chunk.about for chunk in chunks(pipeline)} == {""}
    assert not endpoint.requests


def test_no_model_is_asked_that_the_settings_do_not_name_for_it(
    tmp_path: Path, endpoint: Endpoint, docs: Path
) -> None:
    """A collection with a chat model's lines takes no more documents until it is named again, or rebuilt."""
    ingest(tmp_path, endpoint, docs)
    asked = len(endpoint.requests)
    llm = {"base_url": endpoint.url, "model": "m"}
    with RAGPipeline.from_settings(Settings.load(data_dir=tmp_path / "data", llm=llm)) as pipeline:
        for again in (False, True):
            with pytest.raises(SettingsError, match="lines of context by a chat model") as caught:
                pipeline.ingest(docs, reindex=again)
            assert "--context chat" in caught.value.way_out
        assert pipeline.search("part").candidates
    assert len(endpoint.requests) == asked


def test_a_chat_model_that_cannot_be_asked_is_an_error_before_anything_is_read(
    tmp_path: Path, docs: Path
) -> None:
    """OpenAI's own endpoint without a key; no collection is left that would need its lines."""
    chosen = Settings.load(data_dir=tmp_path / "data", ingest={"context": "chat"})
    with RAGPipeline.from_settings(chosen) as pipeline, pytest.raises(SettingsError, match="API key"):
        pipeline.ingest(docs)
    with RAGPipeline.from_settings(Settings.load(data_dir=tmp_path / "data")) as pipeline:
        assert pipeline.ingest(docs).totals["ingested"] == len(DOCUMENTS)
