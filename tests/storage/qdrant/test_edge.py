"""The Qdrant Edge store: locked with its holder's name, durable, never half made."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage.errors import BadInputError, NotFoundError, StoreCorruptError, StoreError, StoreLockedError
from storage.locks import CollectionLock
from storage.qdrant.contract import LEXICAL, Fingerprint
from storage.qdrant.edge.errors import translated
from storage.qdrant.edge.graph import built_in_copy
from storage.qdrant.edge.stores import EdgeCollection, EdgeStores
from storage.qdrant.tuning import Tuning
from storage.records import Chunk
from storage.vectors import Leg, Point, SparseVector

pytestmark = pytest.mark.heavy

PRINT = Fingerprint("encoder", 4, "chunker", "lexical", 4)


def _point(n: int) -> Point:
    chunk = Chunk(
        id=f"00000000-0000-0000-0000-{n:012d}",
        document_id="d",
        source="/d",
        title="",
        text=f"t{n}",
        start=0,
        end=2,
    )
    vectors = np.eye(4, dtype=np.float32)
    return Point(chunk, SparseVector((n,), (1.0,)), vectors[n % 4], vectors[: n % 3 + 1])


def _found(collection: EdgeCollection) -> list[str]:
    """Search for three words, each of which finds one passage."""
    words = SparseVector((17, 300, 5), (3.0, 2.0, 1.0))
    [hits] = collection.search([Leg(LEXICAL, words)], limit=5)
    assert len(hits) == 3
    return [hit.chunk.id for hit in hits]


def test_a_second_opener_is_told_who_holds_the_collection(tmp_path: Path) -> None:
    """The error names the process, the command and the ways out."""
    stores = EdgeStores(tmp_path, patience_s=0.1)
    held = stores.create("held", PRINT)
    with pytest.raises(StoreLockedError, match=str(os.getpid())) as caught:
        stores.open("held")
    assert "WINNOW_STORE__URL" in caught.value.way_out
    held.close()
    stores.open("held").close()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A killed process leaves no lock behind, and the next holder is named in its place."""
    code = (
        "import sys, time; from pathlib import Path; from storage.locks import CollectionLock\n"
        f"lock = CollectionLock(Path({str(tmp_path)!r})); lock.acquire()\n"
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreLockedError, match=str(holder.pid)):
            CollectionLock(tmp_path).acquire(patience_s=0.1)
        holder.kill()
    lock = CollectionLock(tmp_path)
    lock.acquire(patience_s=1)
    with pytest.raises(StoreLockedError, match=str(os.getpid())):
        CollectionLock(tmp_path).acquire(patience_s=0.1)
    lock.release()


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """Points upserted and never flushed are there after kill -9."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from storage.qdrant.edge.stores import EdgeStores\n"
        "from test_edge import PRINT, _point\n"
        "store = EdgeStores(Path(sys.argv[1])).create('c', PRINT)\n"
        "store.upsert([_point(n) for n in range(100)]); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)], check=False)
    store = EdgeStores(tmp_path).open("c")
    assert store.count() == 100
    assert len({chunk.id for chunk in store.chunks()}) == 100
    store.close()


def test_a_collection_that_was_never_finished_does_not_exist(tmp_path: Path) -> None:
    """A collection half made by a crash is not opened, and creating it again works."""
    (tmp_path / "half" / "shard").mkdir(parents=True)
    (tmp_path / "half" / "shard" / "rubbish").write_text("x")
    stores = EdgeStores(tmp_path)
    assert stores.names() == []
    with pytest.raises(NotFoundError):
        stores.open("half")
    stores.create("half", PRINT).close()
    assert stores.names() == ["half"]


def test_a_damaged_fingerprint_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the file and how to rebuild."""
    stores = EdgeStores(tmp_path)
    stores.create("c", PRINT).close()
    (tmp_path / "c" / "fingerprint.json").write_text("{")
    with pytest.raises(StoreCorruptError, match=r"fingerprint\.json"):
        stores.open("c")


def test_damaged_segments_are_a_clear_error(tmp_path: Path) -> None:
    """A shard whose files are gone is named as damaged, and the lock is free again."""
    stores = EdgeStores(tmp_path, patience_s=0.1)
    store = stores.create("c", PRINT)
    store.upsert([_point(1)])
    store.close()
    for path in (tmp_path / "c" / "shard").rglob("*"):
        if path.is_file():
            path.write_bytes(b"\0")
    for _ in range(2):
        with pytest.raises(StoreCorruptError, match="'c'"):
            stores.open("c")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-flag", "a" * 101, "nul\0"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Collection names are names, never paths."""
    with pytest.raises(BadInputError):
        EdgeStores(tmp_path).create(name, PRINT)


def test_a_dropped_collection_is_gone(tmp_path: Path) -> None:
    """A dropped collection leaves nothing on disk; dropping it again lists those that exist."""
    stores = EdgeStores(tmp_path)
    stores.create("文档", PRINT).close()
    stores.drop("文档")
    assert not (tmp_path / "文档").exists()
    with pytest.raises(NotFoundError):
        stores.drop("文档")


def test_a_full_disk_is_not_called_damage() -> None:
    """A full disk is reported as such, not as damage that needs a rebuild."""
    words = "failed to flush segment 7: No space left on device (os error 28)"
    with pytest.raises(StoreError, match="No space left") as caught, translated("papers"):
        raise RuntimeError(words)
    assert not isinstance(caught.value, StoreCorruptError)
    with pytest.raises(StoreCorruptError), translated("papers"):
        raise RuntimeError("failed to read segment 7: checksum mismatch")


def test_nobody_writes_to_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """Writing to a nearly full disk is refused, since the engine would abort the process."""
    with closing(EdgeStores(tmp_path).create("a", PRINT)) as collection:
        collection.disk = replace(collection.disk, reserve=1 << 60)
        with pytest.raises(StoreError, match="nearly full"):
            collection.upsert([_point(1)])
        assert collection.count() == 0


def test_without_room_to_write_it_anew_a_collection_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The graph is not built without room for a second copy of the segments."""
    stores = EdgeStores(tmp_path, tuning=Tuning(indexing_threshold_kb=1))
    with closing(stores.create("a", PRINT)) as collection:
        collection.upsert([_point(n) for n in range(1, 400)])
        enough = collection.disk
        assert enough.size() > 1 << 20
        assert not replace(enough, reserve=0).has_room(1 << 60)
        collection.disk = replace(enough, reserve=1 << 60)
        assert not collection.optimize()
        assert not collection.build_graph()
        assert caplog.text.count("no room") == 2
        assert collection.count() == 399
        collection.disk = enough
        assert collection.optimize()


def test_searches_go_on_while_the_graph_is_built(tmp_path: Path) -> None:
    """Searches continue while another process builds the graph in a copy, which then replaces the old."""
    stores = EdgeStores(tmp_path, tuning=Tuning(indexing_threshold_kb=1))
    with closing(stores.create("a", PRINT)) as collection, ThreadPoolExecutor(1) as aside:
        collection.upsert([_point(n) for n in range(1, 400)])
        before = _found(collection)
        building, answered = aside.submit(collection.build_graph), 0
        while not building.done():
            assert _found(collection) == before
            answered += 1
        assert building.result()
        assert answered > 0
        collection.upsert([_point(400)])
        assert (collection.count(), _found(collection)) == (400, before)
    with closing(stores.open("a")) as again:
        assert (again.count(), _found(again), again.generation) == (400, before, "")
    assert [path.name for path in (tmp_path / "a").glob("shard*")] != ["shard"]
    assert len(list((tmp_path / "a").glob("shard*"))) == 1
    assert "a" not in stores.leftovers()


def test_a_graph_that_cannot_be_built_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """If the building process dies, the error says so, its copy is removed, and the collection is intact."""
    (tmp_path / "no shard").mkdir()
    with pytest.raises(StoreError, match="ended with code 1"):
        built_in_copy(tmp_path / "no shard", tmp_path / "copy")
    with pytest.raises(StoreError, match="cannot be copied"):
        built_in_copy(tmp_path / "nothing", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_no_graph_while_somebody_re_indexes(tmp_path: Path) -> None:
    """During a rebuild only the new index may build a graph: the old one's copy would be swept away."""
    stores = EdgeStores(tmp_path, patience_s=0.1, tuning=Tuning(indexing_threshold_kb=1))
    with closing(stores.create("a", PRINT)) as collection, stores.rebuild("a", PRINT) as rebuild:
        points = [_point(n) for n in range(1, 400)]
        collection.upsert(points)
        with pytest.raises(StoreLockedError):
            collection.build_graph()
        rebuild.store.upsert(points)
        assert rebuild.store.build_graph()
        new = rebuild.finish(collection)
        assert _found(new) == _found(collection)
        new.close()
    with closing(stores.open("a")) as again:
        assert again.count() == 399
        assert again.generation
    assert "a" not in stores.leftovers(), "the old one goes when the collection is next opened"
    assert len(list((tmp_path / "a").glob("shard*"))) == 1


@pytest.mark.slow
def test_many_terms_do_not_stay_in_memory(tmp_path: Path) -> None:
    """Terms beyond the memory limit are moved to disk, and are found there."""
    terms = SparseVector(tuple(range(1, 60_001)), (1.0,) * 60_000)
    with_terms = [Point(_point(n).chunk, terms, None) for n in range(1, 102)]
    with closing(EdgeStores(tmp_path).create("a", PRINT)) as collection:
        for point in with_terms:
            collection.upsert([point])
        assert not collection.optimize(), "what could be moved was moved before"
        [hits] = collection.search([Leg(LEXICAL, SparseVector((59_999,), (1.0,)))], limit=200)
    assert {hit.chunk.id for hit in hits} == {point.chunk.id for point in with_terms}


def test_opening_does_not_read_the_last_batch_again(tmp_path: Path) -> None:
    """A collection is opened in little memory, whatever its last batch weighed, and holds all of it."""
    wide = Fingerprint("encoder", 4, "chunker", "lexical", 256)
    tokens = np.random.default_rng(0).standard_normal((400, 256), dtype=np.float32)
    with closing(EdgeStores(tmp_path).create("heavy", wide)) as collection:
        collection.upsert([replace(_point(n), tokens=tokens) for n in range(60)])
    code = (
        "import sys, resource; from pathlib import Path; from storage.qdrant.edge.stores import EdgeStores\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"before = peak(); store = EdgeStores(Path({str(tmp_path)!r})).open('heavy')\n"
        "print(store.count(), (peak() - before) // 1024); store.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, mebibytes = map(int, done.stdout.split())
    assert count == 60
    assert mebibytes < 40


_COPY = """
import os, sys
from pathlib import Path
from storage.qdrant.edge.stores import EdgeStores

root = Path(sys.argv[1])
vanishing = root / "papers" / "shard" / "segments" / "merged.tmp"
vanishing.write_text("a segment")

def merge(event, arguments):
    if event == "shutil.copyfile" and os.fspath(arguments[0]) == str(vanishing):
        vanishing.unlink()

sys.addaudithook(merge)
EdgeStores(root).copy_files("papers", root / "copies")
"""


def test_a_file_that_goes_while_a_collection_is_copied_has_it_copied_again(tmp_path: Path) -> None:
    """The engine merges segments while it is in use: what is gone is no failure of the disk."""
    EdgeStores(tmp_path).create("papers", PRINT).close()
    done = subprocess.run(
        [sys.executable, "-c", _COPY, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with closing(EdgeStores(tmp_path / "copies").open("papers")) as copy:
        assert copy.count() == 0
