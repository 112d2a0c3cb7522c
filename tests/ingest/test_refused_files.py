"""Files that are refused: remembered, tried again when they change; their passages."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from ingest.loaders import Columns
from ingest.loaders.base import Limits
from ingest.options import IngestOptions
from tests.support.ingestion import LONG, World, by_name

pytestmark = pytest.mark.heavy


def test_a_refused_file_is_remembered_until_it_changes(here: World) -> None:
    """The reason comes from the manifest; a changed file is tried again."""
    path = here.write("broken.json", "{")
    first = by_name(here.ingest())["broken.json"]
    assert first.status == "refused"
    assert first.reason.startswith("damaged: broken.json")
    assert by_name(here.ingest())["broken.json"] == replace(first, warnings=())
    path.write_text('{"name": "mended"}', encoding="utf-8")
    assert by_name(here.ingest())["broken.json"].status == "ingested"


def test_a_document_that_breaks_leaves_the_collection_and_says_so(here: World) -> None:
    """A document that no longer parses leaves the collection, so that stale text is never quoted."""
    path = here.write("a.json", '{"name": "whole"}')
    here.ingest()
    path.write_text('{"name": ', encoding="utf-8")
    result = by_name(here.ingest())["a.json"]
    assert result.status == "refused"
    assert "removed" in result.warnings[0]
    assert here.stored() == set()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that not even root can read")
@pytest.mark.parametrize("records", [False, True])
def test_a_file_that_cannot_be_read_any_more_keeps_its_passages(here: World, records: bool) -> None:
    """An unreadable file is refused in every run but keeps its passages; readable again, it is unchanged."""
    text = '{"text": "Rerank fifty."}\n{"text": "Keep five."}\n' if records else LONG
    options = IngestOptions(workers=1, columns=Columns(text="text") if records else None)
    path = here.write("guide.jsonl" if records else "guide.md", text)
    here.ingest(path, options=options)
    stored = here.stored()
    path.unlink()
    path.symlink_to("/proc/self/mem")
    for _ in range(2):
        [refused] = here.ingest(path, options=options).documents
        assert (refused.status, refused.chunks) == ("refused", len(stored))
        assert "cannot be read" in refused.reason
        [warning] = refused.warnings
        assert (warning.code, warning.values) == ("ingest.unknown-passages-stay", {"n": len(stored)})
        assert here.stored() == stored == here.expected()
    path.unlink()
    path.write_text(text)
    [back] = here.ingest(path, options=options).documents
    assert back.status == "unchanged"


def test_files_that_are_too_large_are_refused_unread(here: World) -> None:
    """A file over the size limit is refused with the limit, and the run continues."""
    here.write("big.txt", "word " * 500)
    here.write("small.txt", "word")
    options = IngestOptions(workers=1, limits=Limits(file_bytes=1000))
    report = by_name(here.ingest(options=options))
    assert report["big.txt"].reason.startswith("too-large: big.txt")
    assert report["small.txt"].status == "ingested"
