"""Documents of a re-index: whose file is gone or refused, records, and single paths."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ingest.loaders.base import Columns
from storage.reasons import Reason
from tests.support.reindexing import Place, content, pipeline, write

pytestmark = pytest.mark.heavy


def test_a_document_whose_file_is_gone_is_encoded_from_its_passages(place: Place) -> None:
    """A document without its file is kept with a warning, or with --prune reported as removed."""
    before = content(place.data, place.one)
    (place.docs / "3.md").rename(place.docs.parent / "3.md")
    try:
        with pipeline(place.data, place.other) as rag:
            report = rag.ingest(reindex=True)
            [gone] = [one for one in report.documents if "its file is gone" in " ".join(one.warnings)]
            assert gone.path.endswith("3.md")
            assert rag.ingest(place.docs).totals["unchanged"] == 5
        assert content(place.data, place.other)[:2] == before[:2]
        with pipeline(place.data, place.other) as rag:
            report = rag.ingest(reindex=True, prune=True)
            assert [one.path for one in report.documents if one.status == "removed"] == [gone.path]
        assert len(content(place.data, place.other)[1]) == 5
    finally:
        (place.docs.parent / "3.md").rename(place.docs / "3.md")


def test_passages_that_no_manifest_knows_are_kept(place: Place) -> None:
    """Passages missing from the manifest, as after losing winnow.db, are kept."""
    before = content(place.data, place.one)
    (place.data / "winnow.db").unlink()
    with pipeline(place.data, place.other) as rag:
        report = rag.ingest(reindex=True)
    assert report.totals["ingested"] == 6
    after = content(place.data, place.other)
    assert after[0] == before[0]
    assert {source: row[1] for source, row in after[1].items()} == {s: row[1] for s, row in before[1].items()}


def test_a_part_is_read_again_in_place_and_costs_only_itself(place: Place) -> None:
    """Re-indexing some paths under the same settings encodes only those."""
    with pipeline(place.data, place.one) as rag:
        report = rag.ingest(place.docs / "2.md", reindex=True)
        assert [one.status for one in report.documents] == ["replaced"]
        assert rag.wiring.stores.generation("default") == ""
        report = rag.ingest(place.docs, reindex=True)
        assert report.totals["documents"] == 6
        assert rag.wiring.stores.generation("default") != ""


def test_records_are_read_by_their_columns_again(tmp_path: Path, place: Place) -> None:
    """A re-index reads records by the columns stored in the manifest."""
    records = tmp_path / "records.jsonl"
    records.write_text('{"key": "a", "words": "the dog"}\n{"key": "b", "words": "the fox"}\n')
    with pipeline(place.data, place.one) as rag:
        rag.ingest(records, columns=Columns(text="words", id="key"))
    before = content(place.data, place.one)
    with pipeline(place.data, place.other) as rag:
        rag.ingest(reindex=True)
    assert content(place.data, place.other)[:2] == before[:2]
    records.unlink()
    with pipeline(place.data, place.one) as rag:
        report = rag.ingest(reindex=True)
    assert [one.chunks for one in report.documents if one.path.endswith("records.jsonl")] == [2]
    assert content(place.data, place.one)[:2] == before[:2]


ODD = [
    Columns(text="words, all", id="key", title="a, b, c", metadata=("d, e", "(f)); g", "h'i")),
    Columns(text="None", id='"key"', title="line\nbreak"),
    Columns(text="正文，全部", id="键 (主)", metadata=("日, 期",)),
]


@pytest.mark.parametrize("columns", ODD, ids=["commas", "quotes", "中文"])
def test_records_are_read_by_columns_with_odd_names_again(
    tmp_path: Path, place: Place, columns: Columns
) -> None:
    """Column names with any characters are read back from the manifest."""
    records = tmp_path / "records.jsonl"
    names = (columns.text, columns.id, columns.title, *columns.metadata)
    lines = [{str(name): f"the dog {line}" for name in names} for line in range(3)]
    records.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pipeline(tmp_path / "data 2", place.one) as rag:
        rag.ingest(records, columns=columns)
    before = content(tmp_path / "data 2", place.one)
    assert len(before[0]) == 3
    with pipeline(tmp_path / "data 2", place.other) as rag:
        [one] = rag.ingest(reindex=True).documents
        assert "refused" not in " ".join(one.warnings), one
        again = rag.ingest(records, columns=columns)
        assert [(one.status, one.warnings) for one in again.documents] == [("unchanged", ())]
    assert content(tmp_path / "data 2", place.other)[:2] == before[:2]


def test_columns_that_an_earlier_version_noted_are_read() -> None:
    """Columns noted in the format of an earlier version are read."""
    assert str(Columns(text="words", id="key")) == " by line: words, key, None, ()"
    assert Columns.read("csv/1 by line: a, b, None, None, (); winnow-1") == Columns(text="a, b")
    assert Columns.read("csv/1; winnow-1") is None


def test_records_of_a_file_that_is_refused_now_are_kept(tmp_path: Path, place: Place) -> None:
    """Records of an unchanged file are kept if a re-index refuses it (mistyped column, timeout)."""
    records = tmp_path / "lines" / "records.jsonl"
    records.parent.mkdir()
    records.write_text('{"key": "a", "words": "the dog"}\n{"key": "b", "words": "the fox"}\n')
    with pipeline(tmp_path / "data 2", place.one) as rag:
        rag.ingest(records.parent, columns=Columns(text="words", id="key"))
    before = content(tmp_path / "data 2", place.one)
    with pipeline(tmp_path / "data 2", place.other) as rag:
        report = rag.ingest(records.parent, columns=Columns(text="wrods", id="key"), reindex=True)
        [one] = report.documents
        assert one.chunks == 2
        assert any("is refused now" in warning for warning in one.warnings)
    assert content(tmp_path / "data 2", place.other)[:2] == before[:2]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that not even root can read")
def test_a_file_that_cannot_be_read_now_keeps_its_passages(tmp_path: Path, place: Place) -> None:
    """A file that a re-index may not read keeps its passages."""
    docs, data = tmp_path / "docs", tmp_path / "data 2"
    write(docs, 1, 2)
    with pipeline(data, place.one) as rag:
        rag.ingest(docs)
    before = content(data, place.one)
    (docs / "1.md").unlink()
    (docs / "1.md").symlink_to("/proc/self/mem")
    with pipeline(data, place.other) as rag:
        report = rag.ingest(reindex=True)
    [kept] = [one for one in report.documents if one.path.endswith("1.md")]
    assert Reason.of(kept.warnings[0]).code == "winnow.upkeep.copied-of-refused-file"
    assert "its file is refused now" in kept.warnings[0]
    assert content(data, place.other)[:2] == before[:2]
