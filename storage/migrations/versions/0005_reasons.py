"""Codes and values of reasons and warnings, next to their English sentences."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, column in (
        ("answers", "warnings_data"),
        ("stages", "reason_data"),
        ("documents", "reason_data"),
        ("documents", "warnings_data"),
    ):
        op.add_column(table, sa.Column(column, sa.Text))
