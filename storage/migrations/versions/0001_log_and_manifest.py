"""The log of answers and the manifest of collections."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _answer() -> sa.Column[Any]:
    return sa.Column(
        "answer_number",
        sa.Integer,
        sa.ForeignKey("answers.number", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def _text(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def _int(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Integer, nullable=nullable) for name in names]


def _float(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _bool(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False)


def upgrade() -> None:
    _log()
    _candidates()
    _manifest()


def _log() -> None:
    op.create_table(
        "answers",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        *_text("created_at", "collection", "rerank", "answerer", "status"),
        _bool("answered"),
        _float("ms"),
        *_int("calls", "prompt_tokens", "completion_tokens"),
        _float("cost", nullable=True),
        *_int("top_k_retrieve", "top_k_rerank"),
        *_text("question", "text", "timings_ms", "warnings", "fingerprints"),
    )
    op.create_index("ix_answers_created_at", "answers", ["created_at"])
    for column in ("collection", "rerank", "status"):
        op.create_index(f"ix_answers_{column}", "answers", [column, "created_at"])
    for column in ("ms", "cost"):
        op.create_index(f"ix_answers_{column}", "answers", [column])
    op.create_table("prompts", _answer(), *_text("text"))
    op.create_table(
        "stages",
        _answer(),
        _key("position"),
        *_text("name", "status", "reason"),
        _float("ms"),
        *_int("calls", "prompt_tokens", "completion_tokens"),
        _float("cost", nullable=True),
        sqlite_with_rowid=False,
    )


def _candidates() -> None:
    op.create_table(
        "passages",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        *_text("chunk_id", "document_id", "source", "title", "text"),
        *_int("start_char", "end_char", "ordinal"),
        *_text("headings"),
        *_int("page", nullable=True),
        _bool("legible"),
        *_text("metadata"),
    )
    op.create_index("ix_passages_chunk_id", "passages", ["chunk_id"])
    op.create_table(
        "candidates",
        _answer(),
        _key("position"),
        sa.Column("passage_number", sa.Integer, sa.ForeignKey("passages.number"), nullable=False),
        *_int("slot", nullable=True),
        _bool("cited"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_candidates_passage", "candidates", ["passage_number"])
    op.create_table(
        "ranks",
        _key("answer_number"),
        _key("position"),
        _key("step"),
        *_text("stage"),
        *_int("rank", nullable=True),
        _float("score", nullable=True),
        sa.ForeignKeyConstraint(
            ["answer_number", "position"],
            ["candidates.answer_number", "candidates.position"],
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "citations",
        _answer(),
        _key("position"),
        *_int("marker"),
        *_text("chunk_id", "document_id", "source", "title"),
        *_int("start_char", "end_char"),
        *_text("headings"),
        *_int("page", nullable=True),
        *_text("quote"),
        sqlite_with_rowid=False,
    )


def _manifest() -> None:
    op.create_table(
        "documents",
        sa.Column("collection", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *_text("source", "content_hash", "title", "mime", "status", "reason", "warnings"),
        *_text("duplicate_of", nullable=True),
        *_text("parser"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_documents_content_hash", "documents", ["collection", "content_hash"])
    op.create_table(
        "chunks",
        sa.Column("collection", sa.Text, primary_key=True),
        sa.Column("document_id", sa.Text, primary_key=True),
        _key("position"),
        *_text("chunk_id"),
        sa.ForeignKeyConstraint(
            ["collection", "document_id"], ["documents.collection", "documents.id"], ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "runs",
        sa.Column("number", sa.Integer, primary_key=True),
        *_text("collection", "created_at", "report"),
    )
    op.create_index("ix_runs_collection", "runs", ["collection", "number"])
