"""The base of the tables of log and manifest."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.orm import DeclarativeBase


class TableBase(DeclarativeBase):
    type_annotation_map = {str: Text()}  # noqa: RUF012 - SQLAlchemy reads it from the class


# Rows that are only found by their key need no hidden row id.
KEY_ONLY = {"sqlite_with_rowid": False}
