"""Files of records: a document a line, and what becomes of them when the file changes or breaks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ingest.loaders import Columns
from ingest.options import IngestOptions
from storage.qdrant.contract import document_id
from tests.support.ingestion import World

pytestmark = pytest.mark.heavy


def test_lines_become_documents_when_columns_are_named(here: World) -> None:
    """A BEIR corpus goes in as one document a line; a changed line costs one encoding, a lost one goes."""
    lines = [{"_id": f"d{i}", "title": f"Title {i}", "text": f"Text number {i}."} for i in range(20)]
    path = here.write("corpus.jsonl", "\n".join(map(json.dumps, lines)) + "\nnot json\n")
    options = IngestOptions(workers=1, columns=Columns(text="text", id="_id", title="title"))
    result = here.ingest(options=options).documents[0]
    assert (result.status, result.chunks) == ("ingested", 20)
    assert result.warnings[0].startswith("line 21")
    row = here.manifest.get(document_id(f"{path.as_posix()}#d7"))
    assert row is not None
    assert row.title == "Title 7"

    again = here.ingest(options=options).documents[0]
    assert (again.status, again.chunks) == ("unchanged", 20)

    lines[3]["text"] = "Another text."
    path.write_text("\n".join(map(json.dumps, lines[:-1])), encoding="utf-8")
    asked = len(here.encoder.asked)
    assert here.ingest(options=options).documents[0].status == "replaced"
    assert len(here.encoder.asked) == asked + 1
    assert here.stored() == here.expected()
    assert len(here.stored()) == 19


def test_a_file_of_records_that_breaks_takes_its_records_along(here: World) -> None:
    """A damaged file of records loses all its records, old and new, and the warning counts them."""
    lines = [f'{{"_id": "q{number}", "text": "Row {number}."}}\n' for number in range(40)]
    options = IngestOptions(workers=1, batch=8, columns=Columns(text="text", id="_id"))
    here.write("rows.jsonl", "".join(lines))
    here.ingest(options=options)
    assert len(here.stored()) == 40
    too_long = f'{{"_id": "x", "text": "{"y" * options.limits.record_bytes}"}}\n'
    here.write("rows.jsonl", "".join(lines[:20]) + '{"_id": "new", "text": "New."}\n' + too_long)
    [one] = here.ingest(options=options).documents
    assert (one.status, one.warnings) == ("refused", ("its 40 earlier passages were removed",))
    assert here.stored() == set()
    assert [row.status for row in here.manifest.rows()] == ["refused"]


def test_an_unchanged_file_that_is_refused_keeps_what_it_had(here: World) -> None:
    """A mistyped column refuses the file but leaves its passages in place."""
    here.write("rows.jsonl", '{"_id": "q1", "text": "Row one."}\n{"_id": "q2", "text": "Row two."}\n')
    right = IngestOptions(workers=1, columns=Columns(text="text", id="_id"))
    here.ingest(options=right)
    before = here.stored()
    [one] = here.ingest(options=replace(right, columns=Columns(text="txet")), reindex=True).documents
    assert (one.status, one.chunks) == ("refused", 2)
    assert "stay" in one.warnings[0]
    assert here.stored() == before == here.expected()
    assert here.ingest(options=right).totals["unchanged"] == 1


def test_a_file_of_records_that_an_older_version_read_is_unchanged(here: World) -> None:
    """A row from an older version, with its passage count in a sentence, still counts as unchanged."""
    here.write("rows.jsonl", '{"text": "Row one."}\n{"text": "Row two."}\n')
    options = IngestOptions(workers=1, columns=Columns(text="text"))
    here.ingest(options=options)
    [row] = [row for row in here.manifest.rows() if row.source.endswith(".jsonl")]
    assert row.reason == "2 records, 2 passages"
    here.manifest.put(replace(row, reason=str(row.reason)))
    [result] = here.ingest(options=options).documents
    assert (result.status, result.chunks) == ("unchanged", 2)
