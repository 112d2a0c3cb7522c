"""Alembic's entry: runs the revisions inside the transaction that storage.database opened and locked."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
