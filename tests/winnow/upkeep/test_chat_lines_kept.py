"""A chat model's replies about passages are kept as long as their document, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chat_lines import ingest, settings
from tests.support.endpoint import Endpoint
from winnow import RAGPipeline

pytestmark = pytest.mark.heavy


def test_the_kept_replies_go_with_their_document_and_collection(
    tmp_path: Path, endpoint: Endpoint, docs: Path
) -> None:
    """Deleted, pruned or dropped: nothing of a document's text is left in the journals."""
    ingest(tmp_path, endpoint, docs)
    folder = tmp_path / "data" / "context_lines" / "default"
    assert len(list(folder.iterdir())) == 2
    with RAGPipeline.from_settings(settings(tmp_path, endpoint)) as pipeline:
        (docs / "heron.md").unlink()
        pipeline.ingest(docs, prune=True)
        assert len(list(folder.iterdir())) == 1
        row = pipeline.wiring.manifest().get(next(folder.iterdir()).stem)
        assert row is not None
        pipeline.wiring.collections.remove("default", row)
        assert not list(folder.iterdir())
        pipeline.wiring.collections.drop("default")
    assert not folder.exists()


def test_the_kept_replies_go_with_their_document_whatever_the_lines_are_now(
    tmp_path: Path, endpoint: Endpoint, docs: Path
) -> None:
    """Rebuilt with summaries, a collection still forgets a chat model's replies about pruned documents."""
    ingest(tmp_path, endpoint, docs)
    ingest(tmp_path, endpoint, docs, reindex=True, context="summary")
    folder = tmp_path / "data" / "context_lines" / "default"
    for name, left in (("heron.md", 1), ("净水器.md", 0)):
        (docs / name).unlink()
        with RAGPipeline.from_settings(settings(tmp_path, endpoint, context="summary")) as pipeline:
            pipeline.ingest(docs, prune=True, reindex=not left)
        assert len(list(folder.iterdir())) == left


def test_another_ingest_leaves_the_replies_of_an_interrupted_one(
    tmp_path: Path, endpoint: Endpoint, docs: Path
) -> None:
    """They are of a document that is in no list yet, and are paid for."""
    kept = tmp_path / "data" / "context_lines" / "default" / "0b7f5e0c-0000-5000-8000-000000000000.jsonl"
    kept.parent.mkdir(parents=True)
    kept.touch()
    ingest(tmp_path, endpoint, docs)
    ingest(tmp_path, endpoint, docs)
    assert kept.exists()


def test_a_damaged_journal_is_set_aside_and_told(
    tmp_path: Path, endpoint: Endpoint, docs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on with a new one, and what was set aside goes with the document as well."""
    ingest(tmp_path, endpoint, docs)
    folder = tmp_path / "data" / "context_lines" / "default"
    damaged = max(folder.iterdir(), key=lambda journal: journal.stat().st_size)
    damaged.write_text("no JSON\n", encoding="utf-8")
    assert ingest(tmp_path, endpoint, docs, reindex=True).context.status == "ok"  # type: ignore[union-attr]
    assert [record.levelname for record in caplog.records if damaged.name in record.getMessage()] == [
        "WARNING"
    ]
    assert len(list(folder.iterdir())) == 3
    with RAGPipeline.from_settings(settings(tmp_path, endpoint)) as pipeline:
        row = pipeline.wiring.manifest().get(damaged.stem)
        assert row is not None
        pipeline.wiring.collections.remove("default", row)
    assert len(list(folder.iterdir())) == 1
