"""Deletions that have begun. One that is cut off is found here, and finished instead of undone.

The order, for a document as for a collection: the deletion is noted; passages and files go; the manifest
forgets them, and in the same transaction the note. So a document that the manifest still names, and whose
passages are gone, is either damage or noted here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from storage.database import Database
from storage.log.rows import clean
from storage.manifest.manifest import keys_of
from storage.manifest.tables import DeletionEntry, DocumentEntry, RunRow, UploadEntry


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion of the document with that id and source, or of the whole collection."""

    collection: str
    document: str = ""
    source: str = ""

    @property
    def whole(self) -> bool:
        """True where the collection is deleted."""
        return not self.document

    def __str__(self) -> str:
        return f"the collection {self.collection!r}" if self.whole else self.source


class Deletions:
    """The deletions of a database that have begun. Every method raises LogError where it fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, deletion: Deletion) -> None:
        """Note a deletion, once."""
        row = clean(
            {
                "collection": deletion.collection,
                "document": deletion.document,
                "source": deletion.source,
            }
        )
        with self._database.writing() as connection:
            _forget(connection, deletion)
            connection.execute(insert(DeletionEntry), row)
            connection.commit()

    def of(self, collection: str) -> list[Deletion]:
        """Return what is being deleted of a collection, itself first."""
        noted = select(DeletionEntry).where(DeletionEntry.collection == collection)
        with self._database.reading() as connection:
            rows = connection.execute(noted.order_by(DeletionEntry.document)).all()
        return [Deletion(row.collection, row.document, row.source) for row in rows]

    def collections(self) -> list[str]:
        """Return the collections of which anything is being deleted, sorted."""
        with self._database.reading() as connection:
            return sorted(connection.execute(select(DeletionEntry.collection).distinct()).scalars())

    def finish(self, deletion: Deletion, key: str = "") -> None:
        """Forget in the manifest what is deleted, and the note.

        `key` is the manifest's of the generation that lost the document. Does nothing where another process
        has finished it: there may be a new document, or a new collection, of that name by now.
        """
        gone = (
            [
                delete(DocumentEntry).where(keys_of(deletion.collection)),
                delete(RunRow).where(RunRow.collection == deletion.collection),
                delete(UploadEntry).where(UploadEntry.collection == deletion.collection),
                delete(DeletionEntry).where(DeletionEntry.collection == deletion.collection),
            ]
            if deletion.whole
            else [
                delete(DocumentEntry).where(
                    DocumentEntry.collection == key, DocumentEntry.id == deletion.document
                )
            ]
        )
        with self._database.writing() as connection:
            if _forget(connection, deletion):
                for statement in gone:
                    connection.execute(statement)
                connection.commit()


def _forget(connection: Connection, deletion: Deletion) -> bool:
    """Remove the note, and return whether there was one."""
    noted = delete(DeletionEntry).where(
        DeletionEntry.collection == deletion.collection, DeletionEntry.document == deletion.document
    )
    return connection.execute(noted).rowcount > 0
