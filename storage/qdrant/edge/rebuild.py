"""Builds a generation of an embedded collection next to the one in use, and cleans up after crashes."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from secrets import token_hex

from storage.errors import StoreError, StoreLockedError
from storage.locks import CollectionLock
from storage.qdrant.contract import CollectionStore, Fingerprint
from storage.qdrant.edge.collection import EdgeCollection
from storage.qdrant.edge.errors import translated
from storage.qdrant.edge.folder import CollectionFolder, ShardGeneration
from storage.qdrant.edge.layout import new_shard
from storage.qdrant.tuning import Tuning
from storage.reasons import Reason


class EdgeRebuild(AbstractContextManager["EdgeRebuild"]):
    """A `storage.qdrant.contract.Rebuild`. The collection in use may stay open, here or elsewhere."""

    def __init__(
        self, folder: CollectionFolder, store: EdgeCollection, *, resumed: bool, patience_s: float
    ) -> None:
        self.store = store
        self.resumed = resumed
        self._folder = folder
        self._patience_s = patience_s
        self._finished = False

    @classmethod
    def begin(
        cls, folder: CollectionFolder, fingerprint: Fingerprint, tuning: Tuning, patience_s: float
    ) -> EdgeRebuild:
        """Begin, or resume what was interrupted. Raises StoreLockedError while another process builds it."""
        folder.make()
        with folder.rebuild_lock().kept(patience_s) as lock:
            begun = _resumed(folder, fingerprint, lock, tuning)
            store = begun or _begun(folder, fingerprint, lock, tuning)
        return cls(folder, store, resumed=begun is not None, patience_s=patience_s)

    def finish(self, old: CollectionStore | None) -> EdgeCollection:
        self.store.flush()  # before the lock changes hands: a full disk shows here
        if isinstance(old, EdgeCollection):
            lock = old.hand_over()
        else:
            lock = self._folder.lock()
            lock.acquire(self._patience_s)
        self._folder.swap()
        self.store.take_over(lock)
        self._finished = True
        return self.store

    def __exit__(self, *_: object) -> None:
        """Stop here; what was built can be resumed."""
        if not self._finished:
            self.store.close()


def leftovers(root: Path) -> dict[str, tuple[str, ...]]:
    """Describe what crashes left behind below a folder, by collection."""
    folders = [CollectionFolder(path) for path in sorted(root.glob("[!.]*")) if path.is_dir()]
    found = {folder.name: tuple(_described(folder)) for folder in folders}
    for trash in sorted(root.glob(".*.dropped-*")):
        name = trash.name[1:].rpartition(".dropped-")[0]
        found[name] = (*found.get(name, ()), Reason("storage.left-deletion", name=trash.name))
    return {name: what for name, what in found.items() if what}


def sweep(folder: CollectionFolder, patience_s: float) -> None:
    """Remove shards that are not in use, half-made collections and interrupted deletions."""
    folder.empty_trash()
    if not folder.path.is_dir():
        return
    with folder.rebuild_lock().held(patience_s):
        folder.forget_draft()
        if folder.exists:
            folder.remove_strays()
        else:
            _remove_half_made(folder, patience_s)


def _described(folder: CollectionFolder) -> list[Reason]:
    draft = folder.draft()
    if draft is not None and _under_way(folder):
        return []
    strays = [path.name for path in folder.strays()]
    if folder.exists:
        found = [Reason("storage.left-unused", name=name) for name in strays]
    else:
        found = [Reason("storage.left-unfinished", name=name) for name in strays]
    if draft is not None:
        found.append(Reason("storage.left-reindex", name=folder.shard(draft).name))
    if not folder.exists and not found and not folder.foreign:
        found.append(Reason("storage.left-empty"))
    return found


def _under_way(folder: CollectionFolder) -> bool:
    try:
        with folder.rebuild_lock().held(0):
            return False
    except StoreLockedError:
        return True


def _remove_half_made(folder: CollectionFolder, patience_s: float) -> None:
    with folder.lock().held(patience_s):
        if folder.exists:  # somebody made it while this one waited
            return
        if folder.foreign:
            folder.remove_strays()
        else:
            shutil.rmtree(folder.path, ignore_errors=True)


def _resumed(
    folder: CollectionFolder, fingerprint: Fingerprint, lock: CollectionLock, tuning: Tuning
) -> EdgeCollection | None:
    draft = folder.draft()
    if draft is None or draft.fingerprint != fingerprint:
        return None
    try:
        return EdgeCollection.of(folder, draft, lock, tuning)
    except StoreError:
        return None  # the crash damaged it


def _begun(
    folder: CollectionFolder, fingerprint: Fingerprint, lock: CollectionLock, tuning: Tuning
) -> EdgeCollection:
    folder.forget_draft()
    if folder.exists:  # otherwise somebody may be making it
        folder.remove_strays()
    built = ShardGeneration(fingerprint, token_hex(4))
    with translated(folder.name):
        shard = new_shard(folder.shard(built), fingerprint, tuning)
    folder.announce(built)
    return EdgeCollection(folder, shard, built, lock, tuning)
