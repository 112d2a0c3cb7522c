"""Passages in a collection: their place, metadata, and vectors where the encoder reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.loaders import Columns
from ingest.options import IngestOptions
from storage.vectors import Leg
from tests.support.ingestion import LONG, WordHashes, World

pytestmark = pytest.mark.heavy


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


def test_a_large_document_is_written_in_batches(here: World) -> None:
    """A document with more passages than a batch holds is stored whole."""
    here.write("long.md", LONG)
    here.ingest(options=IngestOptions(workers=1, batch=4))
    assert len(here.stored()) > 8
    assert here.stored() == here.expected()
