"""Reports, progress and dry runs of an ingest."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from ingest.batches import Encoded
from ingest.dry_run import DryRun
from ingest.report import IngestReport, Progress
from storage.records import Chunk, Usage
from tests.support.ingestion import GUIDE, LONG, World, by_name

pytestmark = pytest.mark.heavy


def test_a_dry_run_writes_nothing_and_estimates(here: World) -> None:
    """A dry run reports statuses, passages, seconds and bytes, and writes no point and no row."""
    here.write("guide.md", LONG)
    here.write("broken.json", "{")
    report = here.ingest(dry_run=True)
    assert {name: result.status for name, result in by_name(report).items()} == {
        "guide.md": "ingested",
        "broken.json": "refused",
    }
    assert report.estimate is not None
    assert report.estimate.passages == by_name(report)["guide.md"].chunks > 1
    assert report.estimate.bytes > 0
    values = report.to_dict()
    assert (values["totals"]["embedded"], values["estimate"]["passages"]) == (0, report.estimate.passages)
    assert here.stored() == set()
    assert list(here.manifest.rows()) == []
    assert here.manifest.last_run() is None


def test_what_the_sample_of_a_dry_run_cost_is_said() -> None:
    """A dry run counts the usage of its sample, encoded once."""

    class Paid:
        def encode(self, chunks: Sequence[Chunk]) -> Encoded:
            return Encoded([], [True] * len(chunks), usage=Usage(calls=1, prompt_tokens=9))

    dry = DryRun(Paid())
    chunk = Chunk(id="1", document_id="d", source="d.md", title="", text="x", start=0, end=1)
    spent = [dry.encode([chunk] * 32).usage for _ in range(2)]
    assert spent == [Usage(calls=1, prompt_tokens=9), Usage()]


def test_the_report_is_kept_and_has_the_agreed_form(here: World) -> None:
    """The report has `documents` and `totals`, the same in the manifest as on the command line."""
    here.write("guide.md", GUIDE)
    here.write("photo.png", b"\x89PNG")
    report = here.ingest()
    kept = json.loads(here.manifest.last_run() or "")
    assert IngestReport.from_dict(kept).to_dict() == report.to_dict()
    assert set(kept["documents"][0]) == {"path", "status", "reason", "chunks", "warnings"}
    assert kept["totals"]["ingested"] == 1
    assert kept["skipped"] == {".png": 1}


def test_a_kept_report_has_codes_and_a_printed_one_sentences(here: World) -> None:
    """Refusals and warnings are data in the manifest; a report of an older version still reads."""
    here.write("broken.json", "{")
    report = here.ingest()
    [kept] = IngestReport.from_dict(json.loads(here.manifest.last_run() or "")).documents
    assert (kept.reason.code, kept.reason.values["file"]) == ("ingest.damaged", "broken.json")
    assert kept.reason.values["why"].code == "ingest.bad-json"
    assert kept.reason.render("zh").startswith("已损坏：broken.json：不是合法的 JSON")
    [printed] = report.to_dict()["documents"]
    assert type(printed["reason"]) is str
    [old] = IngestReport.from_dict(report.to_dict()).documents
    assert (old.reason, old.reason.code) == (kept.reason, "text")


def test_progress_counts_to_the_end(here: World) -> None:
    """The last progress report covers every file."""
    for i in range(5):
        here.write(f"{i}.md", f"# {i}\n\nText {i}.")
    seen: list[Progress] = []
    here.ingestor().run([here.docs], progress=seen.append)
    assert seen[-1].documents == seen[-1].documents_total == 5
    assert seen[-1].bytes_done == seen[-1].bytes_total
