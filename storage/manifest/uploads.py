"""Uploads that were accepted and are not ingested yet. They outlive the server that accepted them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, insert, select

from storage.database import Database
from storage.log.rows import clean, iso, to_json
from storage.manifest.tables import UploadEntry


@dataclass(frozen=True, slots=True)
class AcceptedUpload:
    """Files that a request brought into a collection, under the id of their job."""

    id: str
    collection: str
    created_at: datetime
    paths: tuple[Path, ...]


class AcceptedUploads:
    """The accepted uploads of a database. Every method raises LogError where it fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, upload: AcceptedUpload) -> None:
        """Keep an upload; it is in the database when this returns."""
        row = {
            "id": upload.id,
            "collection": upload.collection,
            "created_at": iso(upload.created_at),
            "paths": to_json([str(path) for path in upload.paths]),
        }
        with self._database.writing() as connection:
            connection.execute(insert(UploadEntry), clean(row))
            connection.commit()

    def all(self, collection: str | None = None) -> list[AcceptedUpload]:
        """Return the uploads, into one collection or any, the oldest first."""
        wanted = select(UploadEntry).order_by(UploadEntry.created_at, UploadEntry.id)
        if collection is not None:
            wanted = wanted.where(UploadEntry.collection == collection)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return [
            AcceptedUpload(
                row.id,
                row.collection,
                datetime.fromisoformat(row.created_at),
                tuple(map(Path, json.loads(row.paths))),
            )
            for row in rows
        ]

    def forget(self, ids: Iterable[str]) -> None:
        """Remove uploads that are ingested, or that nobody wants any more."""
        with self._database.writing() as connection:
            connection.execute(delete(UploadEntry).where(UploadEntry.id.in_(list(ids))))
            connection.commit()
