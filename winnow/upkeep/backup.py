"""Backs up all of a data folder while it is in use: `winnow backup`.

Every collection becomes an embedded one in the backup, through the copy that compares checksums, so that it
can be restored into any store; a second run sends what has changed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from storage.database import Database, file_of
from storage.errors import BadInputError, LogError, StoreError, StoreLockedError
from storage.log import upkeep as log_upkeep
from storage.manifest.manifest import Manifest
from storage.private_files import make_private_folder, read_object
from storage.qdrant.contract import CollectionStore
from storage.qdrant.copying import copy_passages
from storage.qdrant.edge.stores import EdgeStores
from storage.secrets import masked
from storage.sqlite.damage import damage_of
from storage.sqlite.errors import REPAIR
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.upkeep.backup_contents import (
    COLLECTIONS,
    CONTENTS,
    DATABASE,
    FILES,
    ORIGIN,
    SETTINGS,
    BackedUp,
    BackupContents,
    sha256,
)
from winnow.version import __version__

# Hears a collection's name, passages done and passages in all.
Progress = Callable[[str, int, int], None]

_UNLOCKED = "in-use"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup; `changed` names documents that were being written and are not whole in it."""

    contents: BackupContents
    changed: tuple[str, ...]


def backup(settings: Settings, folder: Path, progress: Progress | None = None) -> Backup:
    """Write all collections, the database and the files of the data folder into `folder`, and verify it.

    A folder with an earlier backup of it is brought up to date; it stays as it is until all that is to be
    read now has been opened. Raises BadInputError, StoreError, LogError.
    """
    _refuse(settings, folder)
    with Wiring(settings) as wiring:
        names = _sources(wiring)
        make_private_folder(folder)
        _describe(settings, folder)
        _database(wiring, folder)
        (folder / CONTENTS).unlink(missing_ok=True)
        stores = EdgeStores(folder / COLLECTIONS, tuning=settings.store.tuning)
        collections = {name: _collection(wiring, stores, name, folder, progress) for name in names}
        for gone in set(stores.names()) - set(names):
            stores.drop(gone)
    changed = _changed(folder, stores, collections)
    made = datetime.now(UTC).isoformat()
    contents = BackupContents(made, __version__, collections, _files(settings, folder))
    contents.write(folder)
    return Backup(contents, changed)


def _refuse(settings: Settings, folder: Path) -> None:
    if folder.resolve().is_relative_to(settings.data_dir.resolve()):
        raise BadInputError(
            f"{folder} lies in the data folder {settings.data_dir}", way_out="Back up to another folder."
        )
    if not folder.exists() or not any(folder.iterdir()):
        return
    place = folder / ORIGIN
    try:
        before = read_object(place)
    except (OSError, ValueError) as error:
        raise BadInputError(f"{folder} holds something else", way_out="Name a new folder.") from error
    for key, now in _origin(settings).items():
        if before.get(key) != now:
            raise BadInputError(
                f"{folder} holds a backup of other data: its {key} is {before.get(key)!r}, not {now!r}",
                way_out=f"Name a new folder. If this is the same data, moved, correct that in {place}.",
            )


def _origin(settings: Settings) -> dict[str, str | None]:
    """Return the settings that say which data is backed up, without passwords."""
    urls = {"store.url": settings.store.url, "log.url": settings.log.url}
    return {"data_dir": str(settings.data_dir.resolve())} | {
        key: url and masked(url) for key, url in urls.items()
    }


def _describe(settings: Settings, folder: Path) -> None:
    origin = json.dumps(_origin(settings), indent=2, ensure_ascii=False)
    shown = json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / ORIGIN).write_text(origin, encoding="utf-8")
    (folder / SETTINGS).write_text(masked(shown), encoding="utf-8")


def _sources(wiring: Wiring) -> list[str]:
    """Open what is to be backed up; return the names of the collections. Raises BadInputError for nothing."""
    names = wiring.stores.names()
    if not names and not wiring.has_database:
        raise BadInputError(
            f"there is nothing to back up in {wiring.settings.data_dir.resolve()}",
            way_out="Name the data folder: --data-dir FOLDER. Is its disk there?",
        )
    for name in names:
        with suppress(StoreLockedError):  # it is in use, and its files are copied
            wiring.stores.open(name).close()
    return names


def _database(wiring: Wiring, folder: Path) -> None:
    """Copy the database in the place of an earlier copy, once it is whole.

    Before the collections: what is written afterwards is in a collection and not in the list, which can be
    mended.
    """
    target, draft = folder / DATABASE, folder / f"{DATABASE}.draft"
    if not wiring.has_database or not wiring.database.is_sqlite:
        target.unlink(missing_ok=True)
        return
    draft.unlink(missing_ok=True)
    log_upkeep.backup(wiring.database, draft)
    if harm := damage_of(draft):
        draft.unlink()
        raise LogError(f"the database {wiring.database.shown} is damaged: {harm}", way_out=REPAIR)
    draft.replace(target)


def _collection(
    wiring: Wiring, stores: EdgeStores, name: str, folder: Path, progress: Progress | None
) -> BackedUp:
    with _source(wiring, name, folder) as source, closing(_opened(stores, source)) as target:
        for attempt in range(_TRIES):
            _remove_departed(source, target)
            try:
                copy_passages(source, target, progress=progress and partial(progress, name))
                break
            except StoreError:  # somebody is writing to it
                if attempt == _TRIES - 1:
                    raise
        return BackedUp.of(target, source.generation)


@contextmanager
def _source(wiring: Wiring, name: str, folder: Path) -> Iterator[CollectionStore]:
    """Open a collection; of one that another process holds, a copy of its files."""
    try:
        store = wiring.stores.open(name)
    except StoreLockedError:
        if not isinstance(wiring.stores, EdgeStores):
            raise
        copies = folder / _UNLOCKED
        try:
            wiring.stores.copy_files(name, copies)
            with closing(EdgeStores(copies, tuning=wiring.settings.store.tuning).open(name)) as copy:
                yield copy
        finally:
            shutil.rmtree(copies, ignore_errors=True)
    else:
        with closing(store):
            yield store


def _opened(stores: EdgeStores, source: CollectionStore) -> CollectionStore:
    if stores.exists(source.name):
        if stores.fingerprint(source.name) == source.fingerprint:
            return stores.open(source.name)
        stores.drop(source.name)
    return stores.create(source.name, source.fingerprint)


def _remove_departed(source: CollectionStore, target: CollectionStore) -> None:
    """Delete passages that an earlier backup has and the collection no longer."""
    here: dict[str, set[str]] = {}
    for chunk in source.chunks():
        here.setdefault(chunk.document_id, set()).add(chunk.id)
    departed = {
        chunk.document_id for chunk in target.chunks() if chunk.id not in here.get(chunk.document_id, ())
    }
    for document in departed:
        target.delete_document(document, keep=here.get(document, ()))


def _files(settings: Settings, folder: Path) -> dict[str, str]:
    """Copy the other files of the data folder, links left out; return all files of the backup."""
    shutil.rmtree(folder / FILES, ignore_errors=True)
    database = folder / DATABASE
    found = {DATABASE: sha256(database)} if database.exists() else {}
    for path in sorted(_others(settings)):
        if path.is_symlink() or not path.is_file():
            continue
        target = folder / FILES / path.relative_to(settings.data_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(path, target)
        except FileNotFoundError:  # gone since it was listed
            continue
        found[target.relative_to(folder).as_posix()] = sha256(target)
    return found


def _others(settings: Settings) -> Iterator[Path]:
    """Yield the files of the data folder but for collections and database, passing over folders that go."""
    top, database = settings.data_dir, file_of(settings.database)
    ours = tuple(str(path.resolve()) for path in (top / DATABASE, database) if path)
    for parent, folders, files in os.walk(top):
        if Path(parent) == top:
            folders[:] = [name for name in folders if name != settings.collections_dir.name]
            files = [name for name in files if name != ".gitignore"]
        found = (Path(parent, name) for name in files)
        yield from (path for path in found if not str(path.resolve()).startswith(ours))


def _changed(folder: Path, stores: EdgeStores, collections: Mapping[str, BackedUp]) -> tuple[str, ...]:
    """Name the documents that the manifest lists and whose passages are not all there."""
    lacking: list[str] = []
    if not (folder / DATABASE).exists():
        return ()
    with closing(Database.open(folder / DATABASE)) as database:
        for name, one in collections.items():
            with closing(stores.open(name)) as store:
                there = {chunk.id for chunk in store.chunks()}
            rows = Manifest(database, name, one.generation).rows()
            lacking += [row.source for row in rows if not there.issuperset(row.chunk_ids)]
    return tuple(sorted(lacking))
