"""The base of every table, of the log and of the manifest."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.orm import DeclarativeBase


class TableBase(DeclarativeBase):
    type_annotation_map = {str: Text()}  # noqa: RUF012 - SQLAlchemy reads it from the class


# Rows that are only ever found by their key need no hidden row id beside it.
KEY_ONLY = {"sqlite_with_rowid": False}
