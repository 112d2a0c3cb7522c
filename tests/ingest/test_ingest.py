"""Ingest runs: incremental, idempotent, with a result for each file."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection as Container
from collections.abc import Iterator, Sequence
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from ingest.batches import Encoded
from ingest.dry_run import DryRun
from ingest.loaders import Columns
from ingest.loaders.base import Limits
from ingest.options import IngestOptions
from ingest.report import IngestReport, Progress
from ingest.run import Ingestor
from storage.disk_space import DiskSpace
from storage.errors import NotFoundError, StoreError
from storage.qdrant.contract import Writer, document_id
from storage.records import Chunk, Usage
from storage.vectors import Leg, Point
from tests.support.ingestion import WordHashes, World, by_name, world

pytestmark = pytest.mark.heavy

GUIDE = "# Guide\n\nRerank fifty candidates and keep five.\n\n## Costs\n\nEvery call costs money.\n"
LONG = "# Long\n\n" + "\n\n".join(
    f"Paragraph {i} says that item {i} matters more than item {i + 1}." for i in range(60)
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_a_tree_goes_in_and_a_second_run_embeds_nothing(here: World) -> None:
    """Unchanged files cost a hash: no parsing, no encoding, the same store."""
    here.write("guide.md", GUIDE)
    here.write("deep/er/long.txt", LONG)
    first = here.ingest()
    assert {name: result.status for name, result in by_name(first).items()} == {
        "guide.md": "ingested",
        "long.txt": "ingested",
    }
    assert here.stored() == here.expected() != set()
    asked, stored = len(here.encoder.asked), here.stored()
    second = here.ingest()
    assert {result.status for result in second.documents} == {"unchanged"}
    assert [result.chunks for result in second.documents] == [result.chunks for result in first.documents]
    assert len(here.encoder.asked) == asked
    assert here.stored() == stored


def test_a_changed_document_replaces_its_passages(here: World) -> None:
    """Passages that left the file leave the store; unchanged passages keep their ids."""
    path = here.write("long.md", LONG)
    here.ingest()
    before = here.stored()
    path.write_text(LONG.replace("Paragraph 59 says", "Paragraph 59 denies"), encoding="utf-8")
    result = by_name(here.ingest())["long.md"]
    assert result.status == "replaced"
    assert here.stored() == here.expected()
    assert len(before - here.stored()) == 1
    assert len(before & here.stored()) > 5


def test_passages_carry_what_a_citation_needs(here: World) -> None:
    """Source, title, heading path and span come back from the store."""
    here.write("guide.md", LONG + "\n\n## Costs\n\n" + "Every call costs money. " * 15)
    here.ingest()
    leg = Leg("lexical", WordHashes().encode_passage("Every call costs money."))
    chunk = here.store.search([leg], 1)[0][0].chunk
    assert chunk.title == "Long"
    assert chunk.headings[-1] == "Costs"
    assert chunk.source == (here.docs / "guide.md").as_posix()
    assert chunk.metadata["mime"] == "text/markdown"


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


def test_a_renamed_file_takes_the_place_of_its_former_name(here: World) -> None:
    """Without --prune: no citation names a path that is gone, and the report says where the file is now."""
    old = here.write("old/name.md", GUIDE)
    here.ingest()
    new = old.parent.parent / "name-2.md"
    old.rename(new)
    report = by_name(here.ingest())
    assert (report["name-2.md"].status, report["name.md"].status) == ("ingested", "removed")
    assert "name-2.md" in report["name.md"].reason
    assert {row.source for row in here.manifest.rows()} == {new.as_posix()}
    assert {chunk.source for chunk in here.store.chunks()} == {new.as_posix()}
    assert by_name(here.ingest())["name-2.md"].status == "unchanged"


def test_an_attachment_that_a_mail_loses_leaves_the_collection(here: World) -> None:
    """Attachments come, change and go with their mail."""
    mail = EmailMessage()
    mail["Subject"] = "Readings"
    mail.set_content("See the file.")
    without = mail.as_bytes()
    mail.add_attachment(b"valve,bar\nV7,3\n", maintype="text", subtype="csv", filename="r.csv")
    here.write("a.eml", mail.as_bytes())
    here.ingest()
    assert {Path(row.source).name for row in here.manifest.rows()} == {"a.eml", "a.eml#r.csv"}
    assert by_name(here.ingest())["a.eml"].status == "unchanged"
    here.write("a.eml", without)
    here.ingest()
    assert {Path(row.source).name for row in here.manifest.rows()} == {"a.eml"}
    assert {Path(chunk.source).name for chunk in here.store.chunks()} == {"a.eml"}


def test_a_document_can_be_found_by_what_is_known_of_it(here: World) -> None:
    """Language, name, folders and time of change of every file; the types of a table's columns."""
    here.write("zh/规章.md", "第一条 为了保护民事主体的合法权益，制定本法。")
    here.write("log.csv", "text,year,open\nPump failed.,2021,true\n")
    here.ingest(options=IngestOptions(workers=1, columns=Columns(text="text", metadata=("year", "open"))))
    known = {Path(chunk.source).name: chunk.metadata for chunk in here.store.chunks()}
    law = known["规章.md"]
    assert (law["lang"], law["file"]) == ("zh", "规章.md")
    assert isinstance(law["folders"], tuple)
    assert law["folders"][0] == "zh"
    assert str(law["modified"]).startswith("20")
    record = known["log.csv#2"]
    assert (record["year"], record["open"]) == (2021, True)


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


def test_prune_removes_what_left_the_tree_and_nothing_else(here: World) -> None:
    """Only documents below the given paths whose files are gone are removed, and only when asked."""
    gone = here.write("a/gone.md", GUIDE)
    here.write("a/stays.md", "# Stays\n\nHere.")
    other = here.write("b/other.md", "# Other\n\nThere.")
    here.ingest()
    gone.unlink()
    other.unlink()
    assert "gone.md" not in by_name(here.ingest(here.docs / "a"))
    assert len(here.stored()) == 3
    report = by_name(here.ingest(here.docs / "a", prune=True))
    assert report["gone.md"].status == "removed"
    assert set(report) == {"gone.md", "stays.md"}
    assert here.stored() == here.expected()
    assert len(here.stored()) == 2


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


def test_a_passage_that_the_encoder_cannot_read_is_lexical_only(here: World) -> None:
    """A passage the encoder cannot read is stored for lexical search only, and the document warns."""
    here.write("法律.md", "# 法律\n\n第一条 为了保护消费者的合法权益，制定本法。\n")
    report = here.ingest()
    assert report.illegible == 1
    assert "1 of 1 passages" in report.documents[0].warnings[0]
    assert "multilingual" in report.documents[0].warnings[0]
    assert here.encoder.asked == []
    (identifier,) = here.stored()
    assert here.store.token_vectors([identifier]) == {}


def test_reindex_reads_and_encodes_again(here: World) -> None:
    """With --reindex no file counts as unchanged."""
    here.write("guide.md", GUIDE)
    here.ingest()
    asked = len(here.encoder.asked)
    assert here.ingest(reindex=True).documents[0].status == "replaced"
    assert len(here.encoder.asked) == 2 * asked
    assert here.stored() == here.expected()


def test_another_chunker_is_noticed_named_and_not_acted_on(here: World) -> None:
    """A document read in another way stays until --reindex."""
    here.write("guide.md", GUIDE)
    here.ingest()
    here.encoder.max_tokens = 48
    asked = len(here.encoder.asked)
    result = here.ingest().documents[0]
    assert result.status == "unchanged"
    assert "--reindex" in result.warnings[0]
    assert len(here.encoder.asked) == asked
    here.ingest(reindex=True)
    assert here.ingest().documents[0].warnings == ()


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


def test_progress_counts_to_the_end(here: World) -> None:
    """The last progress report covers every file."""
    for i in range(5):
        here.write(f"{i}.md", f"# {i}\n\nText {i}.")
    seen: list[Progress] = []
    here.ingestor().run([here.docs], progress=seen.append)
    assert seen[-1].documents == seen[-1].documents_total == 5
    assert seen[-1].bytes_done == seen[-1].bytes_total


def test_a_large_document_is_written_in_batches(here: World) -> None:
    """A document with more passages than a batch holds is stored whole."""
    here.write("long.md", LONG)
    here.ingest(options=IngestOptions(workers=1, batch=4))
    assert len(here.stored()) > 8
    assert here.stored() == here.expected()


def test_a_path_that_does_not_exist_is_an_error(here: World) -> None:
    """A path that does not exist is an error, and nothing is ingested."""
    with pytest.raises(NotFoundError, match="nowhere"):
        here.ingest(here.docs / "nowhere")


def test_files_that_are_too_large_are_refused_unread(here: World) -> None:
    """A file over the size limit is refused with the limit, and the run continues."""
    here.write("big.txt", "word " * 500)
    here.write("small.txt", "word")
    options = IngestOptions(workers=1, limits=Limits(file_bytes=1000))
    report = by_name(here.ingest(options=options))
    assert report["big.txt"].reason.startswith("too-large: big.txt")
    assert report["small.txt"].status == "ingested"


def test_a_new_document_that_was_cut_off_is_cleaned_up_even_if_its_file_is_gone(here: World) -> None:
    """Prune removes a half-written document, found by its pending row, even if its file is gone."""
    path = here.write("guide.md", GUIDE)
    here.ingest()
    row = here.manifest.get(document_id(path.as_posix()))
    assert row is not None
    here.manifest.put(replace(row, status="pending", chunk_ids=()))
    path.unlink()
    here.ingest(prune=True)
    assert here.stored() == set()
    assert list(here.manifest.rows()) == []


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
