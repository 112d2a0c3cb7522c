"""Qdrant Edge: the Rust engine in this process, one folder a collection. The embedded default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from storage.errors import NotFoundError
from storage.locks import PATIENCE_S
from storage.qdrant.contract import Fingerprint, begin_at_once, checked_name, is_name
from storage.qdrant.edge.collection import EdgeCollection
from storage.qdrant.edge.file_copy import copied_while_unchanged
from storage.qdrant.edge.folder import CollectionFolder
from storage.qdrant.edge.rebuild import EdgeRebuild, leftovers, sweep
from storage.qdrant.tuning import Tuning

__all__ = ["EdgeCollection", "EdgeStores"]


class EdgeStores:
    """The collections below one folder (`storage.qdrant.contract.CollectionStores`)."""

    def __init__(self, root: Path, *, patience_s: float = PATIENCE_S, tuning: Tuning | None = None) -> None:
        self._root = root
        self._patience_s = patience_s
        self._tuning = tuning or Tuning()

    def open(self, name: str) -> EdgeCollection:
        folder = self._folder(name)
        if not folder.exists:
            raise NotFoundError(f"there is no collection {name!r}", way_out=self._known())
        return EdgeCollection.load(folder, self._tuning, patience_s=self._patience_s)

    def create(self, name: str, fingerprint: Fingerprint) -> EdgeCollection:
        folder = self._folder(name)
        folder.refuse_existing()
        folder.make()
        return EdgeCollection.create(folder, fingerprint, self._tuning, patience_s=self._patience_s)

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self._root.glob("*/fingerprint.json"))

    def exists(self, name: str) -> bool:
        return is_name(name) and self._folder(name).exists

    def copy_files(self, name: str, root: Path) -> None:
        """Copy the files of a collection that another process has open, for `EdgeStores(root)`.

        Raises StoreLockedError where that one writes to it all the time.
        """
        copied_while_unchanged(self._folder(name), CollectionFolder(root / checked_name(name)))

    def drop(self, name: str, begin: Callable[[], None] = begin_at_once) -> None:
        folder = self._folder(name)
        if not folder.path.is_dir() and not folder.trash():
            raise NotFoundError(f"there is no collection {name!r}", way_out=self._known())
        if folder.path.is_dir():
            with folder.rebuild_lock().held(self._patience_s), folder.lock().held(self._patience_s):
                begin()
                folder.discard()
        folder.empty_trash()

    def generation(self, name: str) -> str:
        folder = self._folder(name)
        return folder.current().id if folder.exists else ""

    def fingerprint(self, name: str) -> Fingerprint | None:
        folder = self._folder(name)
        return folder.current().fingerprint if folder.exists else None

    def rebuild(self, name: str, fingerprint: Fingerprint) -> EdgeRebuild:
        return EdgeRebuild.begin(self._folder(name), fingerprint, self._tuning, self._patience_s)

    def leftovers(self) -> dict[str, tuple[str, ...]]:
        return leftovers(self._root)

    def sweep(self, name: str) -> None:
        sweep(self._folder(name), self._patience_s)

    def _folder(self, name: str) -> CollectionFolder:
        return CollectionFolder(self._root / checked_name(name))

    def _known(self) -> str:
        names = self.names()
        return f"There are: {', '.join(names)}." if names else "Ingest something first: winnow ingest PATH"
