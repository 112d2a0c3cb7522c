"""Adds the asker of an answer and their filter, and names of conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("asker", "scope"):
        op.add_column("answers", sa.Column(column, sa.Text, nullable=False, server_default=""))
    op.create_index("ix_answers_asker", "answers", ["asker", "created_at", "number"])
    op.create_table(
        "threads",
        sa.Column(
            "answer_number",
            sa.Integer,
            sa.ForeignKey("answers.number", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("name", sa.Text, nullable=False),
    )
