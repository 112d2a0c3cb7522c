"""Codes and values of reasons and warnings, next to their English sentences."""

import json
import re

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The one sentence that a replay needs as a code: a stage that was skipped, its gate being open.
_SKIPPED = re.compile(r"skipped: (.+) is sure, margin (\S+) ≥ (\S+)")


def upgrade() -> None:
    for table, column in (
        ("answers", "warnings_data"),
        ("stages", "reason_data"),
        ("documents", "reason_data"),
        ("documents", "warnings_data"),
    ):
        op.add_column(table, sa.Column(column, sa.Text))
    _give_skipped_stages_their_code()


def _give_skipped_stages_their_code() -> None:
    stages = sa.table("stages", *map(sa.column, ("answer_number", "position", "reason", "reason_data")))
    connection = op.get_bind()
    skipped = sa.select(stages).where(stages.c.reason.startswith("skipped: "))
    for row in connection.execute(skipped).all():
        if (data := _data_of(row.reason)) is not None:
            same = (stages.c.answer_number == row.answer_number, stages.c.position == row.position)
            connection.execute(sa.update(stages).where(*same).values(reason_data=data))


def _data_of(sentence: str) -> str | None:
    """Return the code and values of a sentence as JSON; None where it is another sentence."""
    found = _SKIPPED.fullmatch(sentence)
    if found is None:
        return None
    try:
        values = {"stage": found[1], "margin": float(found[2]), "enough": float(found[3])}
    except ValueError:
        return None
    return json.dumps({"code": "rerank.skipped", "values": values}, ensure_ascii=False)
