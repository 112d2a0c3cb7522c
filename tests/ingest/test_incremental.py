"""Runs again: what is unchanged, changed, moved, gone or cut off, file by file."""

from __future__ import annotations

from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from storage.errors import NotFoundError
from storage.qdrant.contract import document_id
from tests.support.ingestion import GUIDE, LONG, World, by_name

pytestmark = pytest.mark.heavy


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


def test_a_path_that_does_not_exist_is_an_error(here: World) -> None:
    """A path that does not exist is an error, and nothing is ingested."""
    with pytest.raises(NotFoundError, match="nowhere"):
        here.ingest(here.docs / "nowhere")
