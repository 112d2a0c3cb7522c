"""The tables of the log and the manifest, as typed mappings. docs/log.md draws them.

Rows are written and read through SQLAlchemy's Core, in bulk. What is small and never searched (warnings,
timings, headings) is JSON in one column; times are ISO 8601 in UTC, so that text order is time order.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {str: Text()}  # noqa: RUF012 - SQLAlchemy reads it from the class


# Rows that are only ever found by their key need no hidden row id beside it.
_KEY_ONLY = {"sqlite_with_rowid": False}


class AnswerRow(Base):
    """One answer. `number` is for joins, `id` is the answer's own; `status` is its worst stage's."""

    __tablename__ = "answers"
    __table_args__ = (
        Index("ix_answers_created_at", "created_at"),
        Index("ix_answers_collection", "collection", "created_at"),
        Index("ix_answers_rerank", "rerank", "created_at"),
        Index("ix_answers_status", "status", "created_at"),
        Index("ix_answers_ms", "ms"),
        Index("ix_answers_cost", "cost"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[str]
    collection: Mapped[str]
    rerank: Mapped[str]
    answerer: Mapped[str]
    status: Mapped[str]
    answered: Mapped[bool]
    ms: Mapped[float]
    calls: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cost: Mapped[float | None]
    top_k_retrieve: Mapped[int]
    top_k_rerank: Mapped[int]
    question: Mapped[str]
    text: Mapped[str]
    timings_ms: Mapped[str]
    warnings: Mapped[str]
    fingerprints: Mapped[str]


class PromptRow(Base):
    """What was sent to the chat model; apart from `answers`, so that lists need not read past it."""

    __tablename__ = "prompts"

    answer_number: Mapped[int] = mapped_column(
        ForeignKey("answers.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    text: Mapped[str]


class StageRow(Base):
    """How one stage of an answer went; `position` counts from 0 in the order of the stages."""

    __tablename__ = "stages"
    __table_args__ = _KEY_ONLY

    answer_number: Mapped[int] = mapped_column(
        ForeignKey("answers.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    ms: Mapped[float]
    calls: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cost: Mapped[float | None]


class PassageRow(Base):
    """A passage as an answer saw it. `hash` is over all other columns, so that equal ones are kept once."""

    __tablename__ = "passages"
    __table_args__ = (Index("ix_passages_chunk_id", "chunk_id"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    chunk_id: Mapped[str]
    document_id: Mapped[str]
    source: Mapped[str]
    title: Mapped[str]
    text: Mapped[str]
    start_char: Mapped[int]
    end_char: Mapped[int]
    ordinal: Mapped[int]
    headings: Mapped[str]
    page: Mapped[int | None]
    legible: Mapped[bool]
    metadata_: Mapped[str] = mapped_column("metadata")


class CandidateRow(Base):
    """One of the passages that retrieval found; `position` counts from 0, the final ones first.

    `slot` is its number in the prompt (from 1; null where the answerer did not get it).
    """

    __tablename__ = "candidates"
    __table_args__ = (Index("ix_candidates_passage", "passage_number"), _KEY_ONLY)

    answer_number: Mapped[int] = mapped_column(
        ForeignKey("answers.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    passage_number: Mapped[int] = mapped_column(ForeignKey("passages.number"))
    slot: Mapped[int | None]
    cited: Mapped[bool]


class RankRow(Base):
    """A candidate's rank (from 1) and score in one stage; `step` keeps the stages in their order."""

    __tablename__ = "ranks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["answer_number", "position"],
            ["candidates.answer_number", "candidates.position"],
            ondelete="CASCADE",
        ),
        _KEY_ONLY,
    )

    answer_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stage: Mapped[str]
    rank: Mapped[int | None]
    score: Mapped[float | None]


class CitationRow(Base):
    """Where a marker in an answer's text points, in the order of `Answer.citations`."""

    __tablename__ = "citations"
    __table_args__ = _KEY_ONLY

    answer_number: Mapped[int] = mapped_column(
        ForeignKey("answers.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    marker: Mapped[int]
    chunk_id: Mapped[str]
    document_id: Mapped[str]
    source: Mapped[str]
    title: Mapped[str]
    start_char: Mapped[int]
    end_char: Mapped[int]
    headings: Mapped[str]
    page: Mapped[int | None]
    quote: Mapped[str]


class DocumentEntry(Base):
    """The manifest: what became of each source of a collection."""

    __tablename__ = "documents"
    __table_args__ = (Index("ix_documents_content_hash", "collection", "content_hash"), _KEY_ONLY)

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


class ChunkEntry(Base):
    """The manifest: the passages of each document, in order."""

    __tablename__ = "chunks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["collection", "document_id"], ["documents.collection", "documents.id"], ondelete="CASCADE"
        ),
        _KEY_ONLY,
    )

    collection: Mapped[str] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chunk_id: Mapped[str]


class RunRow(Base):
    """One ingest run and its report (JSON)."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_collection", "collection", "number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    collection: Mapped[str]
    created_at: Mapped[str]
    report: Mapped[str]
