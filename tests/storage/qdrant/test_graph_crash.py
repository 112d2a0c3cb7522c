"""A graph build whose process is killed leaves no builder behind, and nothing that the next opening keeps."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from storage.qdrant.contract import Fingerprint, Point
from storage.qdrant.edge.stores import EdgeStores
from storage.qdrant.tuning import Tuning
from storage.records import Chunk
from storage.vectors import SparseVector

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent"),
]

PRINT = Fingerprint("encoder", 128, "chunker", "lexical", None)
LOW = Tuning(indexing_threshold_kb=1)
_BUILD = (
    "import sys; from pathlib import Path; from storage.qdrant.edge.stores import EdgeStores;"
    "from storage.qdrant.tuning import Tuning;"
    "EdgeStores(Path(sys.argv[1]), tuning=Tuning(indexing_threshold_kb=1)).open('a').build_graph()"
)


def _points() -> list[Point]:
    vectors = np.random.default_rng(0).standard_normal((6_000, 128), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        Point(
            Chunk(
                id=f"{n:032x}", document_id="d", source="d.md", title="t", text=f"text {n}",
                start=0, end=6, ordinal=n,
            ),
            SparseVector((n,), (1.0,)), vector,
        )
        for n, vector in enumerate(vectors)
    ]  # fmt: skip


def _builders(root: Path) -> list[Path]:
    """The processes that build a graph below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes()
        except OSError:
            continue
        if b"edge.graph import build" in words and str(root).encode() in words:
            found.append(process)
    return found


def _until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
def test_a_builder_ends_with_its_parent_and_its_copy_is_removed(tmp_path: Path) -> None:
    """kill -9 on the process that waits for the graph: the next opening finds one shard, and builds it."""
    with closing(EdgeStores(tmp_path, tuning=LOW).create("a", PRINT)) as collection:
        collection.upsert(_points())
    with subprocess.Popen([sys.executable, "-c", _BUILD, str(tmp_path)]) as parent:
        _until(lambda: _builders(tmp_path) or parent.poll() is not None)
        assert parent.poll() is None, "it was faster than this test"
        parent.kill()
    _until(lambda: not _builders(tmp_path), 10)
    folder = tmp_path / "a"
    assert len(list(folder.glob("shard*"))) == 2
    with closing(EdgeStores(tmp_path, tuning=LOW).open("a")) as collection:
        assert [path.name for path in folder.glob("shard*")] == ["shard"]
        assert (collection.count(), collection.has_graph) == (6_000, False)
        assert collection.build_graph()
        assert collection.has_graph
    with closing(EdgeStores(tmp_path, tuning=LOW).open("a")) as collection:
        assert (collection.count(), collection.has_graph) == (6_000, True)
