"""Deletes collections and documents, in steps that are noted before they begin and that can be run again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import LogError, NotFoundError, WinnowError

if TYPE_CHECKING:
    from storage.manifest.deletions import Deletion
    from storage.manifest.manifest import DocumentRow
    from storage.qdrant.contract import CollectionStore
    from winnow.app.parts import Parts

_log = logging.getLogger(__name__)


def unfinished(parts: Parts, name: str) -> list[Deletion]:
    """Return what was begun to be deleted of a collection, itself first.

    None where there is no database yet, or where it cannot be read, which whoever needs it says.
    """
    if not parts.has_database:
        return []
    try:
        return parts.deletions.of(name)
    except LogError as error:
        _log.debug("the deletions of %r are unknown: %s", name, error)
        return []


def delete_collection(parts: Parts, name: str) -> None:
    """Delete a collection that is not open here, or what an interrupted deletion left of it."""
    from storage.manifest.deletions import Deletion
    from storage.manifest.manifest import Manifest

    deletion = Deletion(name)
    begun = deletion in parts.deletions.of(name)
    with _told():
        try:
            parts.stores.drop(name, lambda: parts.deletions.begin(deletion))
        except NotFoundError:
            if not begun and not Manifest(parts.database, name).generations():
                raise
            parts.deletions.begin(deletion)  # the manifest alone still knows it
        shutil.rmtree(parts.settings.lines_dir / name, ignore_errors=True)
        parts.deletions.finish(deletion)


def delete_document(parts: Parts, store: CollectionStore, row: DocumentRow) -> None:
    """Delete a document, and its file where it was uploaded."""
    from storage.manifest.deletions import Deletion

    deletion = Deletion(store.name, row.id, row.source)
    parts.deletions.begin(deletion)
    finish_document(parts, store, deletion)


def finish_document(parts: Parts, store: CollectionStore | None, deletion: Deletion) -> None:
    """Delete what is left of a document; `store` is None where the collection cannot be read."""
    from storage.manifest.manifest import key_of

    with _told():
        if store is not None:
            store.delete_document(deletion.document)
            store.flush()
        source = Path(deletion.source)
        if source.is_relative_to(parts.settings.uploads_dir.absolute()):
            source.unlink(missing_ok=True)  # nobody else would
        lines = parts.settings.lines_dir / deletion.collection / f"{deletion.document}.jsonl"
        lines.unlink(missing_ok=True)
        generation = parts.stores.generation(deletion.collection) if store is None else store.generation
        parts.deletions.finish(deletion, key_of(deletion.collection, generation))


@contextmanager
def _told() -> Iterator[None]:
    """Say of a deletion that fails half-way that it is noted."""
    try:
        yield
    except NotFoundError:
        raise
    except WinnowError as error:
        later = "What was begun is finished when the collection is next used."
        error.way_out = f"{error.way_out} {later}".strip()
        raise
