"""Passages that were joined to the final ones for the answerer."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "neighbours",
        sa.Column(
            "answer_number",
            sa.Integer,
            sa.ForeignKey("answers.number", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("passage_number", sa.Integer, sa.ForeignKey("passages.number"), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_neighbours_passage", "neighbours", ["passage_number"])
