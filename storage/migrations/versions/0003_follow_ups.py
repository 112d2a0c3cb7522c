"""Questions that follow earlier ones: how they were understood, and which answer they follow."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ANSWERS = """
CREATE VIEW v_answers AS
SELECT a.id, a.created_at, a.question, a.text AS answer, a.collection, a.rerank, a.answerer, a.status,
       a.answered, a.ms, a.calls, a.prompt_tokens, a.completion_tokens, a.cost, a.feedback, a.judged,
       o.id AS replay_of,
       (SELECT count(*) FROM candidates c WHERE c.answer_number = a.number) AS candidates,
       (SELECT count(*) FROM citations t WHERE t.answer_number = a.number) AS citations,
       p.text AS prompt, f.question AS understood, b.id AS follows
FROM answers a
LEFT JOIN answers o ON o.number = a.replay_of
LEFT JOIN prompts p ON p.answer_number = a.number
LEFT JOIN follow_ups f ON f.answer_number = a.number
LEFT JOIN answers b ON b.number = f.follows
"""


def upgrade() -> None:
    op.create_table(
        "follow_ups",
        sa.Column(
            "answer_number",
            sa.Integer,
            sa.ForeignKey("answers.number", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("follows", sa.Integer, sa.ForeignKey("answers.number", ondelete="SET NULL")),
    )
    op.create_index("ix_follow_ups_follows", "follow_ups", ["follows"])
    op.execute("DROP VIEW v_answers")
    op.execute(_ANSWERS)
