"""`winnow doctor` finds damaged, incomplete, lost and leftover data; `--repair` fixes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.support.reindexing import content, encoders, pipeline, write
from winnow.cli.app import app
from winnow.upkeep.integrity import examine
from winnow.upkeep.repair import _tidied

pytestmark = pytest.mark.heavy


class Place:
    """A collection of four documents under a data folder."""

    def __init__(self, docs: Path, data: Path, encoder: Path) -> None:
        self.docs, self.data, self.encoder = docs, data, encoder
        self.folder = data / "collections" / "default"

    def doctor(self, *words: str) -> Result:
        words = ("doctor", "--data-dir", str(self.data), *words)
        return CliRunner().invoke(app, list(words), env={"WINNOW_ENCODER__MODEL": str(self.encoder)})

    def findings(self) -> dict[str, str]:
        """Return state and finding of the doctor's lines about the collection."""
        checks = json.loads(self.doctor("--json").stdout)
        return {
            check["finding"]: check["state"] for check in checks if check["name"].startswith("collection")
        }

    def repaired(self) -> tuple[int, Any]:
        result = self.doctor("--repair", "--json")
        return result.exit_code, json.loads(result.stdout)

    def content(self) -> Any:
        return content(self.data, self.encoder)

    def files(self, pattern: str) -> list[Path]:
        return [path for path in self.folder.glob(pattern) if path.is_file()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("doctor")
    place = Place(root / "docs", root / "data", encoders(root)[0])
    # in several runs: the write-ahead log, which heals much, then holds the last one alone
    for number in range(4):
        write(place.docs, number)
        with pipeline(place.data, place.encoder) as rag:
            rag.ingest(place.docs)
    return place


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    shutil.copytree(made.docs, made.docs.with_name("kept"), dirs_exist_ok=True)
    shutil.copytree(made.data, tmp_path / "data")
    return Place(made.docs, tmp_path / "data", made.encoder)


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"\xa5" * path.stat().st_size)


# The damage, and the shard's files that it is done to. Each is harmful; much other damage is not.
DAMAGE: list[tuple[str, Callable[[Path], None]]] = [
    ("shard/edge_config.json", _truncate),
    ("shard/wal/first-index", _truncate),
    ("shard/segments/*/segment.json", _truncate),
    ("shard/segments/*/version.info", _overwrite),
    ("shard/segments/*/mutable_id_tracker.mappings", _truncate),
    ("shard/segments/*/vector_storage-dense/vectors/status.dat", _truncate),
    ("shard/segments/*/vector_storage-dense/vectors/chunk_0.mmap", _overwrite),
    ("shard/segments/*/payload_storage/page_0.dat", _overwrite),
    ("shard/segments/*/payload_storage/bitmask.dat", _truncate),
    ("fingerprint.json", _truncate),
]


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "harm"), DAMAGE, ids=[pattern for pattern, _ in DAMAGE])
def test_damaged_files_are_found_and_rebuilt(
    place: Place, pattern: str, harm: Callable[[Path], None]
) -> None:
    """Any damage is reported without a traceback, and --repair restores the collection."""
    before = place.content()
    for path in place.files(pattern):
        harm(path)
    result = place.doctor()
    assert result.exit_code == 1, result.output
    assert "doctor --repair -c default" in " ".join(result.output.split())
    code, said = place.repaired()
    assert code == 0, said
    assert said["report"]["totals"]["ingested"] == 4
    assert place.content() == before
    assert list(place.findings().values()) == ["ok"]


def test_a_lost_folder_is_rebuilt_from_the_manifest(place: Place) -> None:
    """A lost folder is rebuilt from the manifest and the files."""
    before = place.content()
    shutil.rmtree(place.folder)
    assert "bad" in place.findings().values()
    assert place.repaired()[0] == 0
    assert place.content() == before


def test_a_half_made_collection_is_named_and_removed(place: Place) -> None:
    """A collection without a fingerprint or documents is named, and removed by --repair."""
    half = place.data / "collections" / "half"
    (half / "shard" / "segments").mkdir(parents=True)
    assert "left behind: shard: a collection that was never finished" in place.findings()
    assert place.doctor("--repair", "-c", "half").exit_code == 0
    assert not half.exists()
    assert list(place.findings().values()) == ["ok"]


def test_what_winnow_did_not_make_stays(place: Place) -> None:
    """A foreign folder among the collections is neither reported nor removed."""
    own = place.data / "collections" / "mine" / "thesis.txt"
    own.parent.mkdir()
    own.write_text("years of work")
    assert list(place.findings().values()) == ["ok"]
    assert place.doctor("--repair", "-c", "mine").exit_code == 0
    (own.parent / "shard").mkdir()
    assert place.doctor("--repair", "-c", "mine").exit_code == 0
    assert [path.name for path in own.parent.glob("[st]*")] == ["thesis.txt"]


def test_the_reading_says_how_far_it_is(place: Place) -> None:
    """Reading a collection reports progress from zero to all of it."""
    told: list[tuple[str, int, int]] = []
    with pipeline(place.data, place.encoder) as rag:
        found = examine(rag.wiring, "default", lambda what, done, of: told.append((what, done, of)))
    passages = found.stored.passages
    assert told == [("reading default", 0, passages), ("reading default", passages, passages)]


def test_leftovers_of_a_reindex_are_a_note_and_removed(place: Place) -> None:
    """An older shard and an unfinished re-index are a note, and --repair removes them."""
    with (
        pipeline(place.data, place.encoder) as rag,
        rag.wiring.stores.rebuild("default", rag.wiring.collections.fingerprint()) as rebuild,
    ):
        left = f"shard-{rebuild.store.generation}"
    (place.folder / "shard-0a1b2c3d").mkdir()
    findings = place.findings()
    assert sorted(findings.values()) == ["note", "ok"]
    strays = "left behind: shard-0a1b2c3d: not in use"
    assert f"{strays}; {left}: an interrupted re-index; --reindex resumes it" in findings
    code, said = place.repaired()
    assert (code, said["report"]) == (0, None)
    assert [path.name for path in place.folder.glob("shard*")] == ["shard"]


def test_documents_that_lack_passages_are_read_again(place: Place) -> None:
    """Documents that lack passages are read again from their files."""
    before = place.content()
    with pipeline(place.data, place.encoder) as rag:
        row = next(iter(rag.wiring.manifest().rows()))
        with closing(rag.wiring.stores.open("default")) as store:
            store.delete_document(row.id)
    assert f"1 documents of the manifest lack passages: {row.source}" in place.findings()
    assert place.repaired()[0] == 0
    assert place.content() == before


def test_passages_without_a_row_are_entered_or_removed(place: Place) -> None:
    """Points without rows are entered if their document is unknown, and removed if it is known."""
    before = place.content()
    with pipeline(place.data, place.encoder) as rag:
        manifest = rag.wiring.manifest()
        first, second, *_ = manifest.rows()
        manifest.remove(first.id)
        manifest.put(replace(second, chunk_ids=second.chunk_ids[:1]))
    findings = place.findings()
    assert f"1 documents are in no manifest here: {first.source}" in findings
    assert "1 documents have passages that the manifest does not know of" in findings
    code, said = place.repaired()
    assert (code, said["report"]) == (0, None)
    ids, rows, _ = place.content()
    assert rows[first.source][0] == "ingested"
    assert ids == before[0] - set(second.chunk_ids[1:])


def test_what_others_ingest_between_look_and_repair_stays(place: Place) -> None:
    """A passage that another process ingests between check and repair is kept."""
    before = place.content()
    with pipeline(place.data, place.encoder) as rag:
        manifest = rag.wiring.manifest()
        first, second, *_ = manifest.rows()
        manifest.put(replace(first, chunk_ids=first.chunk_ids[:1]))
        manifest.remove(second.id)
        found = examine(rag.wiring, "default")
        assert len(found.damages) == 2
        manifest.put_many([first, second])
        _tidied(rag.wiring, found)
    assert place.content() == before


def test_what_cannot_be_rebuilt_is_named_and_gives_exit_code_3(place: Place) -> None:
    """A document without file or readable passages is reported as lost, with exit code 3."""
    _truncate(place.folder / "fingerprint.json")
    gone = place.docs / "2.md"
    kept = gone.read_bytes()
    gone.unlink()
    try:
        code, said = place.repaired()
    finally:
        gone.write_bytes(kept)
    assert code == 3
    [lost] = [one for one in said["report"]["documents"] if one["status"] == "refused"]
    assert lost["path"] == str(gone)
    assert "lost" in lost["reason"]
    assert said["report"]["totals"]["ingested"] == 3


def test_a_healthy_collection_needs_nothing(place: Place) -> None:
    """--repair of a healthy collection changes nothing and says so."""
    before = sorted(path.name for path in place.folder.iterdir())
    code, said = place.repaired()
    assert (code, said["repaired"], said["report"]) == (0, [], None)
    assert sorted(path.name for path in place.folder.iterdir()) == before
