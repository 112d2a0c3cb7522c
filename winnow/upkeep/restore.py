"""Restores a backup into an empty data folder and the store of the settings: `winnow restore`."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from functools import partial
from pathlib import Path

from storage.database import file_of
from storage.errors import BadInputError, StoreError
from storage.manifest.manifest import Manifest
from storage.private_files import make_private_file
from storage.qdrant.contract import CollectionStore, Fingerprint
from storage.qdrant.copying import copy_passages
from storage.qdrant.edge.stores import EdgeStores
from storage.secrets import masked
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.upkeep.backup import Progress
from winnow.upkeep.backup_contents import COLLECTIONS, DATABASE, FILES, BackedUp, BackupContents

# There while a restore is not complete; names the backup.
_MARK = "restore.json"


def restore(settings: Settings, folder: Path, progress: Progress | None = None) -> BackupContents:
    """Restore the backup in `folder`: verified before anything is written, and at the end.

    One that was cut off is gone on with by the same call. Raises BadInputError where the backup is not whole,
    the data folder or the store holds something of it already, or the database lies elsewhere; StoreError,
    LogError.
    """
    contents = BackupContents.read(folder)
    contents.check_files(folder)
    backed_up = EdgeStores(folder / COLLECTIONS, tuning=settings.store.tuning)
    for name, one in contents.collections.items():
        with closing(backed_up.open(name)) as store:
            _check(store, one, f"the collection {name!r} of the backup")
    with Wiring(settings) as wiring:
        _begin(wiring, contents)
        _restore_files(settings, folder, contents)
        for name, one in contents.collections.items():
            with (
                closing(backed_up.open(name)) as source,
                closing(_opened(wiring, name, source.fingerprint)) as target,
            ):
                copy_passages(source, target, progress=progress and partial(progress, name))
                _check(target, one, f"the restored collection {name!r}")
            _adopt(wiring, name, one.generation)
    (settings.data_dir / _MARK).unlink()
    return contents


def _check(store: CollectionStore, one: BackedUp, what: str) -> None:
    found = BackedUp.of(store, one.generation)
    if found != one:
        raise StoreError(
            f"{what} has {found.passages} passages that are not those {one.passages} that were backed up",
            way_out="Does somebody write to it? Restore again, or from another copy of the backup.",
        )


def _begin(wiring: Wiring, contents: BackupContents) -> None:
    """Mark the data folder as being restored. Raises BadInputError where it or the store is in use."""
    settings = wiring.settings
    _refuse_other_database(settings)
    mark = settings.data_dir / _MARK
    begun = masked(json.dumps([contents.created_at, settings.store.url]))
    if mark.exists() and mark.read_text(encoding="utf-8") == begun:
        return
    if settings.data_dir.exists() and any(path.name != ".gitignore" for path in settings.data_dir.iterdir()):
        raise BadInputError(
            f"the data folder {settings.data_dir} holds something already",
            way_out="Restore into another one: --data-dir FOLDER.",
        )
    if there := [name for name in contents.collections if wiring.stores.exists(name)]:
        raise BadInputError(
            f"the store has these collections already: {', '.join(there)}",
            way_out="Restore into another store, or delete them there first: winnow collections delete NAME",
        )
    settings.make_data_dir()
    make_private_file(mark)
    mark.write_text(begun, encoding="utf-8")


def _refuse_other_database(settings: Settings) -> None:
    """Raise BadInputError where the database is not the data folder's: its rows are those of other data."""
    file = file_of(settings.database)
    if file is None or file.resolve() != (settings.data_dir / DATABASE).resolve():
        raise BadInputError(
            "log.url is set: a backup is restored into the data folder's own database",
            way_out="Restore without it (WINNOW_LOG__URL); afterwards move the database with its own tools.",
        )


def _restore_files(settings: Settings, folder: Path, contents: BackupContents) -> None:
    for name in contents.files:
        path = Path(name)
        if name == DATABASE:
            target = settings.data_dir / DATABASE
            if target.exists():  # by the restore that is gone on with
                continue
        else:
            target = settings.data_dir / path.relative_to(FILES)
        if not target.resolve().is_relative_to(settings.data_dir.resolve()):
            raise BadInputError(f"{name!r} in the backup leads out of the data folder")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = target.with_name(f"{target.name}.restoring")
        shutil.copy2(folder / path, draft)
        draft.replace(target)


def _opened(wiring: Wiring, name: str, fingerprint: Fingerprint) -> CollectionStore:
    if wiring.stores.exists(name):
        return wiring.stores.open(name)
    return wiring.stores.create(name, fingerprint)


def _adopt(wiring: Wiring, name: str, generation: str) -> None:
    """Give the manifest's list to the generation that the collection has in this store."""
    now = wiring.stores.generation(name)
    if now != generation:
        listed = list(Manifest(wiring.database, name, generation).rows())
        Manifest(wiring.database, name, now).put_many(listed)
    Manifest(wiring.database, name, now).forget_others()
