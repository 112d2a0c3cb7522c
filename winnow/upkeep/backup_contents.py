"""The contents of a backup, and the check that it is whole.

FOLDER/backup.json          written last: a backup without it is not complete
FOLDER/winnow.db            the log, the manifest, unfinished work
FOLDER/collections/NAME/    each collection, embedded, wherever it came from
FOLDER/files/               the rest of the data folder: uploads, evaluation, hashes of tokens
FOLDER/settings.json        the settings it was made with, without secrets: whose backup this is
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.errors import BadInputError
from storage.private_files import make_private_file, read_object
from storage.qdrant.contract import CollectionStore
from storage.qdrant.copying import checksums

FORM = 1
CONTENTS, DATABASE, COLLECTIONS, FILES, ORIGIN, SETTINGS = (
    *("backup.json", "winnow.db", "collections"),
    *("files", "origin.json", "settings.json"),
)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A collection in a backup; `digest` is of the ids and payloads of its passages."""

    generation: str
    passages: int
    digest: str

    @classmethod
    def of(cls, store: CollectionStore, generation: str) -> BackedUp:
        """Read all of a collection."""
        found = checksums(store)
        digest = hashlib.sha256()
        for id_ in sorted(found):
            digest.update(id_.encode() + found[id_])
        return cls(generation, len(found), digest.hexdigest())


@dataclass(frozen=True, slots=True)
class BackupContents:
    """The list of a backup; `files` has the SHA-256 of each file, `form` is that of the folder."""

    created_at: str
    winnow: str
    collections: Mapping[str, BackedUp]
    files: Mapping[str, str]
    form: int = FORM

    def write(self, folder: Path) -> None:
        """Write the list in one atomic step."""
        draft = folder / f"{CONTENTS}.draft"
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        make_private_file(draft)
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(folder / CONTENTS)

    @classmethod
    def read(cls, folder: Path) -> BackupContents:
        """Read the list. Raises BadInputError where there is no complete backup, or a newer one."""
        try:
            values = read_object(folder / CONTENTS)
            if values["form"] != FORM:
                raise BadInputError(f"{folder} was written by a newer winnow", way_out="Upgrade winnow.")
            collections = {name: BackedUp(**one) for name, one in values.pop("collections").items()}
            return cls(collections=collections, **values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInputError(
                f"{folder} holds no complete backup: {error}",
                way_out="Name the folder that winnow backup wrote; where that was cut off, run it again.",
            ) from error

    def check_files(self, folder: Path) -> None:
        """Raise BadInputError where a file is not what was backed up."""
        for name, digest in self.files.items():
            path = folder / name
            if not path.is_file() or sha256(path) != digest:
                raise BadInputError(
                    f"{path} is not what was backed up", way_out="Restore from another copy of the backup."
                )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
