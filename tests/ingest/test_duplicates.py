"""Files of one name are two documents, and files of one content are one."""

from __future__ import annotations

import pytest

from storage.qdrant.contract import document_id
from tests.support.ingestion import GUIDE, World, by_name

pytestmark = pytest.mark.heavy


def test_two_files_with_one_name_are_two_documents(here: World) -> None:
    """The id derives from the whole path."""
    here.write("a/readme.md", "# One\n\nFirst text.")
    here.write("b/readme.md", "# Two\n\nSecond text.")
    report = here.ingest()
    assert [result.status for result in report.documents] == ["ingested", "ingested"]
    assert len(here.stored()) == 2


def test_an_exact_duplicate_is_stored_once_and_both_sources_are_kept(here: World) -> None:
    """A duplicate is a row that points to the original, and takes over when the original changes."""
    original = here.write("a.md", GUIDE)
    copy = here.write("b.md", GUIDE)
    report = by_name(here.ingest())
    assert (report["a.md"].status, report["b.md"].status) == ("ingested", "duplicate")
    assert "a.md" in report["b.md"].reason
    row = here.manifest.get(document_id(copy.as_posix()))
    assert row is not None
    assert row.duplicate_of == document_id(original.as_posix())
    asked = len(here.encoder.asked)
    assert by_name(here.ingest())["b.md"].status == "duplicate"
    assert len(here.encoder.asked) == asked

    original.write_text("# Other\n\nSomething else.", encoding="utf-8")
    assert by_name(here.ingest())["b.md"].status == "ingested"
    assert here.stored() == here.expected()


def test_a_duplicate_outside_the_run_takes_over_when_its_original_goes(here: World) -> None:
    """Content stays in the collection while any copy is on disk, even one outside the run."""
    here.write("one/a.md", GUIDE)
    here.write("two/b.md", GUIDE)
    here.ingest()
    (here.docs / "one/a.md").unlink()
    report = here.ingest(here.docs / "one", prune=True)
    assert by_name(report)["a.md"].status == "removed"
    assert by_name(report)["b.md"].status == "ingested"
    assert here.stored() == here.expected() != set()
