"""Deletes collections and documents, in steps that are noted before they begin and that can be run again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import LogError, NotFoundError, StoreError, WinnowError

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
        with suppress(FileNotFoundError):
            shutil.rmtree(parts.settings.lines_dir / name)
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
        forget_lines(parts.settings.lines_dir / deletion.collection, [deletion.document])
        generation = parts.stores.generation(deletion.collection) if store is None else store.generation
        parts.deletions.finish(deletion, key_of(deletion.collection, generation))


def line_journals(folder: Path, document: str) -> tuple[Path, Path]:
    """A document's journal of lines of context in a collection's folder, and where a damaged one goes."""
    return folder / f"{document}.jsonl", folder / f"{document}.jsonl.damaged"


def forget_lines(folder: Path, documents: Iterable[str]) -> None:
    """Delete the journals of documents that are gone, by id."""
    if folder.is_dir():
        for journal in (path for document in documents for path in line_journals(folder, document)):
            journal.unlink(missing_ok=True)


@contextmanager
def _told() -> Iterator[None]:
    """Say of a deletion that fails half-way that it is noted."""
    try:
        with _as_store_errors():
            yield
    except NotFoundError:
        raise
    except WinnowError as error:
        later = "What was begun is finished when the collection is next used."
        error.way_out = f"{error.way_out} {later}".strip()
        raise


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{error.filename} cannot be deleted: {error.strerror}",
            way_out="Give winnow the right to delete it.",
        ) from error
