"""Adds the line about a passage, which situates it in its document."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("passages", sa.Column("about", sa.Text, nullable=False, server_default=""))
