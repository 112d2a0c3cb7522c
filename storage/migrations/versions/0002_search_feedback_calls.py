"""Full-text search, feedback, calls of language models, replays, cached scores, and views for people with SQL."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.log.full_text import indexed

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_RANK_MOVES = """
CREATE VIEW v_rank_moves AS
SELECT a.id AS answer_id, a.created_at, a.question, a.rerank, c.position + 1 AS place, c.slot, c.cited,
       r.step, r.stage, r.rank, r.score,
       CASE WHEN r.stage IN ('dense', 'lexical', 'retrieval') THEN NULL ELSE b.stage END AS stage_before,
       CASE WHEN r.stage IN ('dense', 'lexical', 'retrieval') THEN NULL ELSE b.rank END AS rank_before,
       CASE WHEN r.stage IN ('dense', 'lexical', 'retrieval') THEN NULL ELSE b.rank - r.rank END AS rose_by,
       p.chunk_id, p.source, p.title, p.page, p.text AS passage
FROM ranks r
JOIN candidates c ON c.answer_number = r.answer_number AND c.position = r.position
JOIN answers a ON a.number = r.answer_number
JOIN passages p ON p.number = c.passage_number
LEFT JOIN ranks b ON b.answer_number = r.answer_number AND b.position = r.position AND b.step = r.step - 1
"""

_ANSWERS = """
CREATE VIEW v_answers AS
SELECT a.id, a.created_at, a.question, a.text AS answer, a.collection, a.rerank, a.answerer, a.status,
       a.answered, a.ms, a.calls, a.prompt_tokens, a.completion_tokens, a.cost, a.feedback, a.judged,
       o.id AS replay_of,
       (SELECT count(*) FROM candidates c WHERE c.answer_number = a.number) AS candidates,
       (SELECT count(*) FROM citations t WHERE t.answer_number = a.number) AS citations,
       p.text AS prompt
FROM answers a
LEFT JOIN answers o ON o.number = a.replay_of
LEFT JOIN prompts p ON p.answer_number = a.number
"""

_COSTS = """
CREATE VIEW v_costs AS
SELECT substr(a.created_at, 1, 10) AS day, a.collection, a.rerank, s.name AS stage,
       count(*) AS runs, sum(s.calls) AS calls, sum(s.prompt_tokens) AS prompt_tokens,
       sum(s.completion_tokens) AS completion_tokens, sum(s.cost) AS cost,
       sum(CASE WHEN s.calls > 0 AND s.cost IS NULL THEN 1 ELSE 0 END) AS runs_of_unknown_cost,
       sum(CASE WHEN s.status = 'fallback' THEN 1 ELSE 0 END) AS fallbacks, avg(s.ms) AS mean_ms
FROM stages s
JOIN answers a ON a.number = s.answer_number
GROUP BY substr(a.created_at, 1, 10), a.collection, a.rerank, s.name
"""


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def _text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def upgrade() -> None:
    _columns()
    _calls()
    _feedback()
    _scores()
    for view in (_RANK_MOVES, _ANSWERS, _COSTS):
        op.execute(view)
    if op.get_bind().dialect.name == "sqlite":
        _search()


def _columns() -> None:
    for table in ("answers", "stages"):
        for column in ("retries", "cached"):
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    for column in ("evidence_start", "evidence_end"):
        op.execute(f"ALTER TABLE ranks ADD COLUMN {column} INTEGER")
    op.execute("ALTER TABLE answers ADD COLUMN feedback TEXT")
    op.execute("ALTER TABLE answers ADD COLUMN judged INTEGER NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE answers ADD COLUMN replay_of INTEGER REFERENCES answers (number) ON DELETE SET NULL")
    for column in ("created_at", "collection", "rerank", "status", "ms", "cost"):
        op.drop_index(f"ix_answers_{column}", "answers")
    op.create_index(
        "ix_answers_list",
        "answers",
        ["created_at", "number", "collection", "rerank", "answerer", "status", "answered"]
        + ["feedback", "judged", "replay_of", "ms", "cost"],
    )
    op.create_index("ix_answers_replay_of", "answers", ["replay_of"])


def _calls() -> None:
    op.create_table(
        "llm_calls",
        _key("answer_number"),
        _key("stage_position"),
        _key("position"),
        *_text("model", "messages", "reply", "error"),
        sa.Column("ms", sa.Double, nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("calls", "prompt_tokens", "completion_tokens")
        ),
        sa.Column("cost", sa.Double),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("retries", "cached")),
        sa.ForeignKeyConstraint(
            ["answer_number", "stage_position"], ["stages.answer_number", "stages.position"], ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column(
            "answer_number", sa.Integer, sa.ForeignKey("answers.number", ondelete="CASCADE"), nullable=False
        ),
        *_text("created_at"),
        sa.Column("good", sa.Boolean),
        *_text("note"),
    )
    op.create_index("ix_feedback_answer", "feedback", ["answer_number"])
    op.create_table(
        "judgements",
        _key("answer_number"),
        _key("position"),
        sa.Column("grade", sa.Integer, nullable=False),
        *_text("created_at"),
        sa.ForeignKeyConstraint(
            ["answer_number", "position"],
            ["candidates.answer_number", "candidates.position"],
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )


def _scores() -> None:
    op.create_table(
        "scores",
        sa.Column("number", sa.Integer, primary_key=True),
        *_text("question", "passage"),
        sa.Column("score", sa.Double, nullable=False),
        sa.UniqueConstraint("question", "passage"),
    )


def _search() -> None:
    """The index reads its columns from `answers`; its words are fed by the program, Chinese as bigrams.

    Datasette finds the index, and shows a search box, only where the table's name is in double quotes.
    """
    op.execute(
        "CREATE VIRTUAL TABLE answers_fts USING fts5("
        """question, text, content="answers", content_rowid='number', tokenize='unicode61 remove_diacritics 2')"""
    )
    bind = op.get_bind()
    for number, question, text in bind.exec_driver_sql("SELECT number, question, text FROM answers").fetchall():
        bind.exec_driver_sql(
            "INSERT INTO answers_fts (rowid, question, text) VALUES (?, ?, ?)",
            (number, indexed(question), indexed(text)),
        )
