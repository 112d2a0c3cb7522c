"""A disk that is full, or nearly: the run stops in good order, and the next one finishes."""

from __future__ import annotations

from collections.abc import Collection as Container
from collections.abc import Sequence

import pytest

from ingest.options import IngestOptions
from ingest.run import Ingestor
from storage.disk_space import DiskSpace
from storage.errors import StoreError
from storage.qdrant.contract import Writer, document_id
from storage.vectors import Point
from tests.support.ingestion import GUIDE, LONG, WordHashes, World

pytestmark = pytest.mark.heavy


class FullDisk:
    """A store that fails after a number of writes, as a full disk does."""

    def __init__(self, store: Writer, writes: int) -> None:
        self._store = store
        self._left = writes

    def upsert(self, points: Sequence[Point]) -> None:
        self._left -= 1
        if self._left < 0:
            raise StoreError("no space left on the device")
        self._store.upsert(points)

    def delete_document(self, document: str, *, keep: Container[str] = ()) -> None:
        self._store.delete_document(document, keep=keep)

    def flush(self) -> None:
        self._store.flush()


@pytest.mark.parametrize("writes", [0, 1, 3])
def test_a_full_disk_stops_the_run_and_the_next_one_finishes_it(here: World, writes: int) -> None:
    """A full disk raises; only stored documents count as ingested, and the next run completes the rest."""
    for i in range(8):
        here.write(f"{i}.md", LONG.replace("Paragraph", f"Paragraph of {i}"))
    options = IngestOptions(workers=1, batch=16)
    broken = Ingestor(FullDisk(here.store, writes), here.encoder, WordHashes(), here.manifest, options)
    with pytest.raises(StoreError, match="no space"):
        broken.run([here.docs])
    assert here.expected() <= here.stored()
    here.ingest(options=options)
    assert here.stored() == here.expected()
    assert {row.status for row in here.manifest.rows()} == {"ingested"}


def test_a_run_stops_in_good_order_before_the_disk_is_full(here: World) -> None:
    """A run stops before the disk is full, naming the free space, and the next run finishes the work."""
    here.write("guide.md", GUIDE)
    here.store.disk = DiskSpace(here.docs, reserve=1 << 60)
    with pytest.raises(StoreError, match=r"nearly full: .* MB are free for") as raised:
        here.ingest()
    assert "run it again" in raised.value.way_out
    assert here.stored() == set()
    here.store.disk = DiskSpace(here.docs, reserve=1)
    assert here.ingest().totals["ingested"] == 1
    assert here.stored() == here.expected() != set()
    here.store.disk = DiskSpace(here.docs, reserve=1 << 60)
    here.store.delete_document(document_id((here.docs / "guide.md").as_posix()))
    assert here.stored() == set(), "what is deleted makes room"
