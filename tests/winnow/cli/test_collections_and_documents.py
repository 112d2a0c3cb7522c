"""Collections and documents are listed, shown, copied and deleted; models are listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.models.hub import DEFAULT_MODEL
from tests.support.qdrant_wire import serving
from tests.support.shell import as_json, run

pytestmark = pytest.mark.heavy


def test_collections_can_be_listed_shown_and_deleted(tmp_path: Path) -> None:
    """A collection can be listed, shown and deleted from the shell."""
    (tmp_path / "a.txt").write_text("One sentence about reranking.")
    run("ingest", tmp_path / "a.txt", "--data-dir", tmp_path / "d", "--collection", "文集")
    assert as_json("collections", "list", "--data-dir", tmp_path / "d") == [{"name": "文集"}]
    shown = as_json("collections", "show", "文集", "--data-dir", tmp_path / "d")
    assert shown["passages"] == 1
    assert shown["dim"] == 384
    deletion = ("collections", "delete", "文集", "--data-dir", tmp_path / "d")
    assert "--yes" in as_json(*deletion)["error"]["way_out"]
    assert as_json(*deletion, "--yes") == {"deleted": "文集"}
    assert as_json("collections", "list", "--data-dir", tmp_path / "d") == []


def test_deleting_and_ingesting_again_brings_everything_back(tmp_path: Path) -> None:
    """A deleted collection leaves the manifest, so that ingesting again restores everything."""
    (tmp_path / "a.txt").write_text("One sentence about reranking.")
    words = ("ingest", tmp_path / "a.txt", "--data-dir", tmp_path / "d")
    run(*words)
    run("collections", "delete", "default", "--yes", "--data-dir", tmp_path / "d")
    assert as_json(*words)["totals"]["ingested"] == 1


def test_documents_can_be_listed_shown_and_deleted(tmp_path: Path) -> None:
    """Documents are addressed by path; deleting one removes its passages and leaves the file."""
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(f"# Title of {name}\n\nA sentence about reranking in {name}.\n")
    where = ("--data-dir", tmp_path / "d")
    run("ingest", tmp_path / "a.md", tmp_path / "b.md", *where)
    assert [document["title"] for document in as_json("documents", "list", *where)] == [
        "Title of a.md",
        "Title of b.md",
    ]
    for narrower, names in (
        (("--search", "TITLE b.md"), ["b.md"]),
        (("--limit", 1), ["a.md"]),
        (("--status", "refused"), []),
    ):
        found = as_json("documents", "list", *narrower, *where)
        assert [Path(document["source"]).name for document in found] == names
    assert as_json("documents", "show", tmp_path / "a.md", *where)["status"] == "ingested"
    assert as_json("documents", "delete", tmp_path / "a.md", *where) == {"deleted": str(tmp_path / "a.md")}
    assert (tmp_path / "a.md").exists()
    found = as_json("search", "reranking", *where)
    assert {Path(candidate["source"]).name for candidate in found["candidates"]} == {"b.md"}
    assert run("documents", "show", "nothere.md", *where).exit_code == 2


def test_a_collection_copies_to_a_server(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`collections copy` sends what is missing, once, to anything that speaks Qdrant's protocol."""
    monkeypatch.setenv("WINNOW_STORE__PREFER_GRPC", "false")
    with serving() as server:
        first = as_json("collections", "copy", "default", "--to", server.url, "--data-dir", data)
        second = as_json("collections", "copy", "default", "--to", server.url, "--data-dir", data)
    assert (first["sent"], first["present"]) == (2, 0)
    assert (second["sent"], second["present"]) == (0, 2)


def test_models_are_listed_without_a_network_and_a_failed_fetch_is_a_sentence(data: Path) -> None:
    """Models are listed offline, missing ones with their command; an offline fetch fails clearly."""
    models = {model["name"]: model for model in as_json("models", "list", "--data-dir", data)}
    assert models[DEFAULT_MODEL]["here"] is True
    assert "winnow models fetch BAAI/bge-m3" in models["BAAI/bge-m3"]["place"]
    failed = run("models", "fetch", "nobody/nothing")
    assert failed.exit_code == 1
    assert "nobody/nothing" in failed.stderr
    assert "Traceback" not in failed.output
