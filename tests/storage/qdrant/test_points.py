"""Passages as Qdrant holds them."""

from __future__ import annotations

from dataclasses import fields

from storage.qdrant.points import from_payload, to_payload
from storage.records import Chunk

CHUNK = Chunk(
    id="an-id",
    document_id="a-document",
    source="docs/a.md",
    title="A title",
    text="The text.",
    start=3,
    end=12,
    ordinal=2,
    headings=("Chapter", "Section"),
    page=4,
    about="It is about this.",
    legible=False,
    metadata={"lang": "en", "tags": ("one", "two")},
)


def test_a_passage_comes_back_as_it_was() -> None:
    """Every field is written and read; none of them has its default here."""
    assert all(getattr(CHUNK, one.name) != one.default for one in fields(Chunk))
    assert from_payload(CHUNK.id, to_payload(CHUNK)) == CHUNK
