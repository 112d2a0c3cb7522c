"""The tables of the manifest, as typed mappings: documents, their passages, ingest runs."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import KEY_ONLY, TableBase


class DocumentEntry(TableBase):
    """The outcome of each source of a collection.

    `collection` is its name, and after a re-index `NAME@GENERATION`: the store tells which is in use.
    `reason_data` and `warnings_data` are JSON: codes and values, null for plain text.
    """

    __tablename__ = "documents"
    __table_args__ = (Index("ix_documents_content_hash", "collection", "content_hash"), KEY_ONLY)

    collection: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    content_hash: Mapped[str]
    title: Mapped[str]
    mime: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    warnings: Mapped[str]
    duplicate_of: Mapped[str | None]
    parser: Mapped[str]
    reason_data: Mapped[str | None]
    warnings_data: Mapped[str | None]


class ChunkEntry(TableBase):
    """The passages of each document, in order."""

    __tablename__ = "chunks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["collection", "document_id"], ["documents.collection", "documents.id"], ondelete="CASCADE"
        ),
        KEY_ONLY,
    )

    collection: Mapped[str] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chunk_id: Mapped[str]


class RunRow(TableBase):
    """One ingest run and its report (JSON)."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_collection", "collection", "number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    collection: Mapped[str]
    created_at: Mapped[str]
    report: Mapped[str]


class DeletionEntry(TableBase):
    """A deletion that has begun: of a document, or where `document` is empty of the whole collection."""

    __tablename__ = "deletions"
    __table_args__ = (KEY_ONLY,)

    collection: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]


class UploadEntry(TableBase):
    """Uploaded files that are accepted and not ingested yet; `paths` is JSON."""

    __tablename__ = "uploads"
    __table_args__ = (KEY_ONLY,)

    id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str]
    created_at: Mapped[str]
    paths: Mapped[str]
