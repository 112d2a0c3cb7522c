"""Upgrades a database to the schema that this program knows. Alembic is imported only where needed."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from storage.errors import LogError

_FOLDER = Path(__file__).parent


def known_revisions() -> list[str]:
    """Return the schema's revisions, oldest first: a file `0001_what.py` is revision `0001`."""
    return sorted(path.name.split("_", 1)[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


def current_revision(connection: Connection) -> str | None:
    """Return the revision of a database; None where it has no schema yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def needs_upgrade(connection: Connection, shown: str) -> bool:
    """Return whether revisions are missing. Raises LogError where the schema is newer than this program."""
    revision, known = current_revision(connection), known_revisions()
    if revision is not None and revision not in known:
        raise LogError(
            f"the database {shown} is of a newer winnow (schema {revision}; this one knows {known[-1]})",
            way_out="upgrade winnow (pip install --upgrade winnow-rag), or use another data folder",
        )
    return revision != known[-1]


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the missing revisions inside the transaction that `connection` is in; the caller commits."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    # ConfigParser reads % as the start of an interpolation.
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
