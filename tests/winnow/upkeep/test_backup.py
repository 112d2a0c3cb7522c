"""`winnow backup` and `winnow restore`: verified by restoring and asking, into the same and another store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.errors import BadInputError, LogError, StoreError
from storage.qdrant.edge.stores import EdgeStores
from tests.support.qdrant_wire import Fault, serving
from tests.support.reindexing import encoders, write
from winnow.app.settings import Settings
from winnow.pipeline import RAGPipeline
from winnow.upkeep import doctor_checks
from winnow.upkeep.backup import backup
from winnow.upkeep.backup_contents import BackupContents
from winnow.upkeep.restore import restore

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

QUESTION = "Does the reranker read the question?"
EMBEDDED: dict[str, object] = {}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders(tmp_path_factory.mktemp("encoders"))[0]


@pytest.fixture
def server() -> Iterator[dict[str, object]]:
    with serving() as wire:
        yield {"url": wire.url, "prefer_grpc": False, "api_key": "not-for-a-backup"}


def _settings(data: Path, encoder: Path, store: dict[str, object], database: str | None = None) -> Settings:
    chosen = {"model": str(encoder), "device": "cpu"}
    log = {"url": database}
    return Settings.load(data_dir=data, encoder=chosen, ingest={"workers": 1}, store=store, log=log)


def _filled(settings: Settings, docs: Path) -> dict[str, Any]:
    """Ingest, build a second generation, ask; return what a restored one must show, too."""
    write(docs, 1, 2, 3)
    settings.make_data_dir()
    (settings.data_dir / "evaluation").mkdir()
    (settings.data_dir / "evaluation" / "qrels.txt").write_text("q1 0 d1 3\n")
    with RAGPipeline.from_settings(settings) as rag:
        rag.ingest(docs)
        rag.ingest(reindex=True)
        rag.ask(QUESTION)
    return _shown(settings)


def _shown(settings: Settings) -> dict[str, Any]:
    with RAGPipeline.from_settings(settings) as rag:
        hits = rag.search(QUESTION).candidates
        return {
            "found": [(hit.chunk.id, hit.chunk.text) for hit in hits],
            "documents": {row.source: row.chunk_ids for row in rag.wiring.manifest().rows()},
            "answers": [one.id for one in rag.log.list(limit=9)],
        }


def _bad(settings: Settings) -> list[str]:
    checked = ("store", "collection default", "log")
    found = doctor_checks.run(settings)
    return [check.finding for check in found if check.name in checked and check.state != "ok"]


@pytest.mark.parametrize("way", ["embedded to embedded", "embedded to server", "server to embedded"])
def test_what_was_restored_answers_alike(
    way: str, tmp_path: Path, encoder: Path, server: dict[str, object]
) -> None:
    """Passages, list of documents, log and files come back, in the same or another kind of store."""
    before, after = (server if kind == "server" else EMBEDDED for kind in way.split(" to "))
    settings = _settings(tmp_path / "data", encoder, before)
    was = _filled(settings, tmp_path / "docs")
    done = backup(settings, tmp_path / "backup")
    assert done.changed == ()
    assert "not-for-a-backup" not in "".join(
        path.read_text(errors="replace") for path in (tmp_path / "backup").rglob("*.json")
    )
    restored = _settings(tmp_path / "new", encoder, after)
    restore(restored, tmp_path / "backup")
    assert _shown(restored) == was
    assert _bad(restored) == []
    assert (tmp_path / "new" / "evaluation" / "qrels.txt").read_text() == "q1 0 d1 3\n"
    with RAGPipeline.from_settings(restored) as rag:
        assert rag.ingest(tmp_path / "docs").totals["ingested"] == 0


def test_a_second_backup_is_brought_up_to_date(tmp_path: Path, encoder: Path) -> None:
    """What was added, changed and deleted since is so in the backup, too."""
    settings = _settings(tmp_path / "data", encoder, EMBEDDED)
    _filled(settings, tmp_path / "docs")
    backup(settings, tmp_path / "backup")
    write(tmp_path / "docs", 4)
    (tmp_path / "docs" / "2.md").unlink()
    with RAGPipeline.from_settings(settings) as rag:
        rag.ingest(tmp_path / "docs", prune=True)
    was = _shown(settings)
    backup(settings, tmp_path / "backup")
    restored = _settings(tmp_path / "new", encoder, EMBEDDED)
    restore(restored, tmp_path / "backup")
    assert _shown(restored) == was


def test_a_restore_that_was_cut_off_is_gone_on_with(tmp_path: Path, encoder: Path) -> None:
    """A server that fails in the middle leaves a folder that the same command completes."""
    settings = _settings(tmp_path / "data", encoder, EMBEDDED)
    was = _filled(settings, tmp_path / "docs")
    backup(settings, tmp_path / "backup")
    with serving() as wire:
        restored = _settings(tmp_path / "new", encoder, {"url": wire.url, "prefer_grpc": False})
        wire.fail(Fault(500, path="/collections/default/points"))
        with pytest.raises(StoreError, match="told to fail"):
            restore(restored, tmp_path / "backup")
        with pytest.raises(
            BadInputError, match="holds something already"
        ):  # another store is another restore
            restore(_settings(tmp_path / "new", encoder, EMBEDDED), tmp_path / "backup")
        restore(restored, tmp_path / "backup")
        assert _shown(restored) == was
        assert not (tmp_path / "new" / "restore.json").exists()


def test_a_damaged_backup_restores_nothing(tmp_path: Path, encoder: Path) -> None:
    """A file or a passage that is not what was backed up is named before anything is written."""
    settings = _settings(tmp_path / "data", encoder, EMBEDDED)
    _filled(settings, tmp_path / "docs")
    folder = tmp_path / "backup"
    backup(settings, folder)
    qrels = folder / "files" / "evaluation" / "qrels.txt"
    qrels.write_text("q1 0 d1 0\n")
    new = _settings(tmp_path / "new", encoder, EMBEDDED)
    with pytest.raises(BadInputError, match=r"qrels\.txt is not what was backed up"):
        restore(new, folder)
    qrels.write_text("q1 0 d1 3\n")
    with closing(EdgeStores(folder / "collections").open("default")) as store:
        document = next(store.chunks()).document_id
        store.delete_document(document)
    with pytest.raises(StoreError, match="are not those"):
        restore(new, folder)
    assert not (tmp_path / "new").exists()


def test_a_backup_that_was_cut_off_is_none(tmp_path: Path, encoder: Path) -> None:
    """Without its list, which is written last, a folder is refused; nor is another folder overwritten."""
    settings = _settings(tmp_path / "data", encoder, EMBEDDED)
    _filled(settings, tmp_path / "docs")
    backup(settings, tmp_path / "backup")
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(BadInputError, match="no complete backup"):
        restore(_settings(tmp_path / "new", encoder, EMBEDDED), tmp_path / "backup")
    backup(settings, tmp_path / "backup")
    with pytest.raises(BadInputError, match="holds something already"):
        restore(settings, tmp_path / "backup")
    with pytest.raises(BadInputError, match="holds something else"):
        backup(settings, tmp_path / "docs")
    with pytest.raises(BadInputError, match="lies in the data folder"):
        backup(settings, tmp_path / "data" / "backup")


def _content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_other_data_never_takes_the_place_of_a_backup(
    tmp_path: Path, encoder: Path, server: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run from another folder, with another store or with none of its data changes nothing."""
    (tmp_path / "right").mkdir()
    monkeypatch.chdir(tmp_path / "right")
    settings = _settings(Path(".winnow"), encoder, EMBEDDED)
    _filled(settings, tmp_path / "docs")
    folder = tmp_path / "backup"
    backup(settings, folder)
    was = _content(folder)
    with pytest.raises(BadInputError, match=r"backup of other data: its store\.url is None"):
        backup(_settings(Path(".winnow"), encoder, server), folder)
    monkeypatch.chdir(tmp_path / "docs")
    _filled(settings, tmp_path / "more")
    with pytest.raises(BadInputError, match="other data: its data_dir is") as caught:
        backup(settings, folder)
    assert "origin.json" in caught.value.way_out
    monkeypatch.chdir(tmp_path / "right")
    Path(".winnow").rename("elsewhere")
    with pytest.raises(BadInputError, match="nothing to back up in"):
        backup(settings, folder)
    assert _content(folder) == was


@pytest.mark.parametrize("harm", ["collection", "database"])
def test_what_cannot_be_opened_leaves_the_earlier_backup(tmp_path: Path, encoder: Path, harm: str) -> None:
    """A collection or database that is damaged now is still whole in the backup, and can be restored."""
    settings = _settings(tmp_path / "data", encoder, EMBEDDED)
    was = _filled(settings, tmp_path / "docs")
    backup(settings, tmp_path / "backup")
    if harm == "collection":
        (settings.collections_dir / "default" / "fingerprint.json").write_text("?")
    else:
        database = settings.data_dir / "winnow.db"
        half = database.stat().st_size // 2
        with database.open("r+b") as file:
            file.seek(half)
            file.write(b"\xa5" * half)
    with pytest.raises((StoreError, LogError)):
        backup(settings, tmp_path / "backup")
    restored = _settings(tmp_path / "new", encoder, EMBEDDED)
    restore(restored, tmp_path / "backup")
    assert _shown(restored) == was


def test_a_store_in_use_takes_no_restore(tmp_path: Path, encoder: Path, server: dict[str, object]) -> None:
    """A new data folder does not make a store new: its collections stay as they are."""
    settings = _settings(tmp_path / "data", encoder, server)
    _filled(settings, tmp_path / "docs")
    backup(settings, tmp_path / "backup")
    write(tmp_path / "docs", 4)
    with RAGPipeline.from_settings(settings) as rag:
        rag.ingest(tmp_path / "docs")
    was = _shown(settings)
    with pytest.raises(BadInputError, match="has these collections already: default"):
        restore(_settings(tmp_path / "new", encoder, server), tmp_path / "backup")
    assert _shown(settings) == was
    assert not (tmp_path / "new").exists()


def test_a_database_elsewhere_takes_no_restore(tmp_path: Path, encoder: Path) -> None:
    """The rows of a live database at log.url are not replaced by those of a backup."""
    url = f"sqlite:///{tmp_path / 'data' / 'live.db'}"
    settings = _settings(tmp_path / "data", encoder, EMBEDDED, url)
    was = _filled(settings, tmp_path / "docs")
    files = backup(settings, tmp_path / "backup").contents.files
    assert set(files) == {"winnow.db", "files/evaluation/qrels.txt"}  # not the file that is written to
    with pytest.raises(BadInputError, match=r"log\.url is set") as caught:
        restore(_settings(tmp_path / "new", encoder, EMBEDDED, url), tmp_path / "backup")
    assert "WINNOW_LOG__URL" in caught.value.way_out
    assert _shown(settings) == was
    assert not (tmp_path / "new").exists()
    restored = _settings(tmp_path / "new", encoder, EMBEDDED)
    restore(restored, tmp_path / "backup")
    assert _shown(restored) == was


_VANISHING = """
import os, sys
from pathlib import Path
from winnow.app.settings import Settings
from winnow.upkeep.backup import backup

data, folder = map(Path, sys.argv[1:])
segment = data / "collections" / "default" / "merged"
scratch, upload = data / "evaluation" / "scratch", data / "evaluation" / "upload.tmp"
segment.mkdir()
scratch.mkdir()
upload.write_text("half")

def vanish(event, arguments):
    if event == "os.scandir" and str(arguments[0]) in (str(segment), str(scratch)):
        os.rmdir(arguments[0])
    if event == "shutil.copyfile" and str(arguments[0]) == str(upload):
        upload.unlink()

sys.addaudithook(vanish)
print(*backup(Settings.load(data_dir=data), folder).contents.files)
"""


def test_files_that_go_meanwhile_are_left_out(tmp_path: Path, encoder: Path) -> None:
    """A data folder in use changes under the backup: what is gone by then hinders nothing."""
    settings = _settings(tmp_path / "data", encoder, EMBEDDED)
    _filled(settings, tmp_path / "docs")
    command = [sys.executable, "-c", _VANISHING, settings.data_dir, tmp_path / "backup"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["winnow.db", "files/evaluation/qrels.txt"]


_HOLD = """
import sys
from pathlib import Path
from storage.qdrant.edge.stores import EdgeStores
collection = EdgeStores(Path(sys.argv[1])).open("default")
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def _held_by_another_process(collections: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(collections)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    try:
        yield
    finally:
        process.communicate("")


@pytest.mark.slow
def test_a_collection_that_a_server_has_open_is_backed_up(tmp_path: Path, encoder: Path) -> None:
    """The files of an embedded collection in use are copied while nobody writes to them."""
    settings = _settings(tmp_path / "data", encoder, EMBEDDED)
    was = _filled(settings, tmp_path / "docs")
    with _held_by_another_process(settings.collections_dir):
        backup(settings, tmp_path / "backup")
    restored = _settings(tmp_path / "new", encoder, EMBEDDED)
    restore(restored, tmp_path / "backup")
    assert _shown(restored) == was
    listed = BackupContents.read(tmp_path / "backup").collections["default"]
    assert listed.passages == sum(map(len, was["documents"].values()))
