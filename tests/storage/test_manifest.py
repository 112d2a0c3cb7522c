"""The manifest: the state of each source of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.errors import LogError
from storage.manifest.manifest import PENDING, DocumentFilter, DocumentRow, Manifest
from storage.reasons import Reason
from tests.support.log_samples import DATABASES, a_database

INGESTED = DocumentRow(
    id="d1",
    source="资料/手册 1.md",
    content_hash="aa",
    title="手册",
    mime="text/markdown",
    status="ingested",
    warnings=("一页没有文字",),
    chunk_ids=("c2", "c1", "c3"),
    parser="markdown",
)
REFUSED = DocumentRow(
    id="d2",
    source="x.pdf",
    content_hash="bb",
    title="",
    mime="application/pdf",
    status="refused",
    reason="encrypted",
)
DUPLICATE = replace(INGESTED, id="d3", source="copy.md", status="duplicate", chunk_ids=(), duplicate_of="d1")


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with a_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def manifest(database: Database) -> Manifest:
    return Manifest(database, "知识库")


def test_a_document_comes_back_equal(manifest: Manifest) -> None:
    """A stored document is read back equal, with its passages in order."""
    for row in (INGESTED, REFUSED, DUPLICATE):
        manifest.put(row)
        assert manifest.get(row.id) == row
    assert manifest.get("nothing") is None


def test_reasons_come_back_with_their_codes_and_values(manifest: Manifest) -> None:
    """Refusals and warnings keep their codes and values in the manifest."""
    reason = Reason("storage.of-stage", stage="pdf", reason=Reason("storage.unreadable-question"))
    manifest.put(replace(REFUSED, reason=reason, warnings=("plain", reason)))
    row = manifest.get(REFUSED.id)
    assert row is not None
    for found in (row.reason, row.warnings[1]):
        assert found == reason
        assert Reason.of(found).to_json() == reason.to_json()
    assert Reason.of(row.warnings[0]).code == "text"


def test_rows_are_all_documents_of_this_collection_alone(database: Database, manifest: Manifest) -> None:
    """A manifest lists only its own collection's documents."""
    manifest.put_many([REFUSED, INGESTED])
    Manifest(database, "other").put(replace(INGESTED, title="other", chunk_ids=("x",)))
    assert list(manifest.rows()) == [INGESTED, REFUSED]
    assert manifest.get("d1") == INGESTED


def test_many_rows_come_page_by_page_while_others_are_removed(manifest: Manifest) -> None:
    """Rows are read page by page, and may be removed meanwhile."""
    many = [replace(INGESTED, id=f"{number:05d}", chunk_ids=(f"c{number}",)) for number in range(2500)]
    manifest.put_many(many)
    seen = []
    for row in manifest.rows():
        seen.append(row)
        manifest.remove(row.id)
        if len(seen) == 3:
            break
    assert seen == many[:3]
    assert list(manifest.rows()) == many[3:]


def test_putting_again_replaces_the_document_and_its_passages(database: Database, manifest: Manifest) -> None:
    """A document that changed keeps none of its old passages."""
    manifest.put(INGESTED)
    changed = replace(INGESTED, content_hash="cc", chunk_ids=("c9",))
    manifest.put(changed)
    assert manifest.get("d1") == changed
    assert manifest.by_hash("aa") is None
    with database.reading() as connection:
        assert connection.execute(text("SELECT chunk_id FROM chunks")).scalars().all() == ["c9"]


def test_the_last_of_two_rows_with_one_id_holds(manifest: Manifest) -> None:
    """Of two rows with one id, the last is stored."""
    manifest.put_many([INGESTED, replace(INGESTED, title="later")])
    row = manifest.get("d1")
    assert row is not None
    assert row.title == "later"


def test_only_an_ingested_document_is_found_by_its_content(manifest: Manifest) -> None:
    """Only an ingested document, not a refused one or a duplicate, is found by its content."""
    manifest.put_many([DUPLICATE, REFUSED])
    assert manifest.by_hash("aa") is None
    assert manifest.by_hash("bb") is None
    manifest.put(INGESTED)
    assert manifest.by_hash("aa") == INGESTED


def test_removing_takes_the_passages_along(database: Database, manifest: Manifest) -> None:
    """Removing a document removes its passages; removing an unknown one is no error."""
    manifest.put_many([INGESTED, REFUSED])
    manifest.remove("d1")
    manifest.remove("nothing")
    assert list(manifest.rows()) == [REFUSED]
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM chunks")).scalar() == 0


def test_clearing_forgets_this_collection_alone(database: Database, manifest: Manifest) -> None:
    """Clearing one collection leaves the others as they are."""
    other = Manifest(database, "other")
    for one in (manifest, other):
        one.put(INGESTED)
        one.save_run("{}")
    manifest.clear()
    assert list(manifest.rows()) == []
    assert manifest.last_run() is None
    assert list(other.rows()) == [INGESTED]
    assert other.last_run() == "{}"


def test_the_last_run_is_kept_for_each_collection(database: Database, manifest: Manifest) -> None:
    """The last report of each collection can be read again, with its number."""
    assert manifest.last_run() is None
    first = manifest.save_run('{"ingested": 1}')
    second = manifest.save_run('{"ingested": 2, "坏": "文件"}')
    Manifest(database, "other").save_run("{}")
    assert second > first
    assert manifest.last_run() == '{"ingested": 2, "坏": "文件"}'


def test_a_failed_batch_writes_nothing(manifest: Manifest) -> None:
    """A batch is one transaction: all its documents are written, or none."""
    manifest.put(INGESTED)
    broken = replace(REFUSED, title=None)  # type: ignore[arg-type]
    with pytest.raises(LogError, match=r"(?i)not.null"):
        manifest.put_many([replace(INGESTED, title="changed"), broken])
    assert list(manifest.rows()) == [INGESTED]


def test_each_generation_has_documents_of_its_own(database: Database, manifest: Manifest) -> None:
    """A re-index writes to its own generation, unseen by the current one and kept by `forget_others`."""
    new, other = Manifest(database, "知识库", "0a1b"), Manifest(database, "知识库 2")
    manifest.put(INGESTED)
    other.put(INGESTED)
    new.put(REFUSED)
    assert list(manifest.rows()) == [INGESTED]
    assert list(new.rows()) == [REFUSED]
    assert manifest.generations() == ["", "0a1b"]
    new.forget_others()
    assert manifest.generations() == ["0a1b"]
    assert list(manifest.rows()) == []
    assert list(other.rows()) == [INGESTED]


def test_runs_and_clearing_belong_to_all_generations(database: Database, manifest: Manifest) -> None:
    """The last run is found after a swap, and clearing removes every generation."""
    new = Manifest(database, "知识库", "0a1b")
    manifest.put(INGESTED)
    new.put(INGESTED)
    new.save_run("{}")
    assert manifest.last_run() == "{}"
    manifest.clear()
    assert new.last_run() is None
    assert manifest.generations() == []


def test_a_name_in_other_letters_is_another_collection(database: Database) -> None:
    """Clearing `docs` affects neither `Docs` nor a name that it would match as a pattern."""
    others = [Manifest(database, name, "0a1b") for name in ("Docs", "docs_", "docsX")]
    for other in others:
        other.put(INGESTED)
    for name in ("docs", "docs_"):
        Manifest(database, name, "2c3d").forget_others()
        Manifest(database, name).clear()
    assert [list(other.rows()) for other in others] == [[INGESTED], [], [INGESTED]]


def _sources(manifest: Manifest, where: DocumentFilter, limit: int = 10, offset: int = 0) -> list[str]:
    return [row.source for row in manifest.listed(where, limit=limit, offset=offset)]


def test_documents_are_listed_by_path_a_page_at_a_time(manifest: Manifest) -> None:
    """Documents are listed by path in pages, with their passages; pending ones are left out."""
    manifest.put_many([replace(INGESTED, id=f"{9 - n}", source=f"{n}.md") for n in range(5)])
    manifest.put(replace(REFUSED, id="p", source="0 pending.md", status=PENDING))
    assert _sources(manifest, DocumentFilter(), limit=2, offset=1) == ["1.md", "2.md"]
    assert _sources(manifest, DocumentFilter(), offset=4) == ["4.md"]
    assert [row.source for row in manifest.listed(DocumentFilter())] == [f"{n}.md" for n in range(5)]
    assert manifest.listed(DocumentFilter(), limit=1)[0].chunk_ids == INGESTED.chunk_ids
    assert manifest.count(DocumentFilter()) == 5


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (DocumentFilter("手册 资料"), ["资料/手册 1.md"]),
        (DocumentFilter("COPY.md"), ["copy.md"]),
        (DocumentFilter("%"), []),
        (DocumentFilter("_"), []),
        (DocumentFilter("手册", status="duplicate"), ["copy.md"]),
        (DocumentFilter(status="refused"), ["x.pdf"]),
        (DocumentFilter(warned=True), ["copy.md", "资料/手册 1.md"]),
        (DocumentFilter("nothing"), []),
    ],
)
def test_documents_are_found_by_words_status_and_warnings(
    manifest: Manifest, where: DocumentFilter, found: list[str]
) -> None:
    """Documents match all words in path or title, ignoring case, with SQL wildcards taken literally."""
    manifest.put_many([INGESTED, REFUSED, DUPLICATE])
    assert _sources(manifest, where) == found
    assert manifest.count(where) == len(found)


def test_a_collection_is_counted_without_reading_its_documents(
    database: Database, manifest: Manifest
) -> None:
    """The counts are documents by status, documents with warnings, and passages, of this collection."""
    manifest.put_many([INGESTED, REFUSED, DUPLICATE, replace(REFUSED, id="p", status=PENDING)])
    Manifest(database, "other").put(INGESTED)
    counts = manifest.counts()
    assert counts.by_status == {"ingested": 1, "refused": 1, "duplicate": 1}
    assert (counts.warned, counts.passages) == (2, 3)
    empty = Manifest(database, "empty").counts()
    assert (empty.by_status, empty.warned, empty.passages) == ({}, 0, 0)


def test_when_the_last_run_ended_is_known(database: Database, manifest: Manifest) -> None:
    """The end of the last run is a time with its zone; None before the first run."""
    assert manifest.last_run_at() is None
    manifest.save_run("{}")
    Manifest(database, "other").save_run("{}")
    ended = manifest.last_run_at()
    assert ended is not None
    assert ended.tzinfo is not None
