"""The open collections of a process: opened once, checked, swapped, dropped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from storage.errors import BadInputError, FingerprintMismatchError, NotFoundError, WinnowError
from storage.qdrant.contract import SCHEMA_VERSION, CollectionStore, Fingerprint, Rebuild
from winnow.app import deleting

if TYPE_CHECKING:
    from storage.manifest.deletions import Deletion
    from storage.manifest.manifest import DocumentRow
    from winnow.app.parts import Parts

_log = logging.getLogger(__name__)


class OpenCollections:
    """Open collections by name. Safe to use from several threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = threading.RLock()
        self._open: dict[str, CollectionStore] = {}
        self._retired: list[CollectionStore] = []

    def open(self, name: str) -> CollectionStore:
        """Open a collection that fits its encoders. Raises NotFoundError, FingerprintMismatchError …"""
        with self._lock:
            held = self._open.get(name)
            if held is not None and held.generation != self._parts.stores.generation(name):
                self._retire(name)  # another process swapped it
            if name not in self._open:
                noted = self.finish_whole(name)
                store = self._parts.stores.open(name)
                try:
                    self._check(store)
                    for deletion in noted:
                        deleting.finish_document(self._parts, store, deletion)
                except BaseException:
                    store.close()
                    raise
                self._open[name] = store
            return self._open[name]

    def open_or_create(self, name: str) -> CollectionStore:
        """Open a collection to ingest into, and create it if it does not exist."""
        with self._lock:
            try:
                return self.open(name)
            except NotFoundError:
                return self._create(name)

    def held(self, name: str) -> CollectionStore | None:
        """Return the collection if it is open here, whatever it was built with."""
        return self._open.get(name)

    def swap(self, rebuild: Rebuild, old: CollectionStore | None) -> CollectionStore:
        """Put a new generation in the collection's place; running questions keep the old one.

        A question that arrives meanwhile waits, since neither generation is open for it.
        """
        with self._lock:
            store = rebuild.finish(old)
            self._retire(store.name)
            self._open[store.name] = store
            return store

    def close_retired(self) -> None:
        """Close replaced collections, once no question can be using them."""
        with self._lock:
            while self._retired:
                store = self._retired.pop()
                store.close()
                try:
                    self._parts.stores.sweep(store.name)
                except WinnowError as error:
                    _log.warning("what %r was before its re-index stays for now: %s", store.name, error)

    def drop(self, name: str) -> None:
        """Delete a collection and its documents in the manifest, or what a deletion cut off has left."""
        with self._lock:
            self.close_retired()
            if store := self._open.pop(name, None):
                store.close()
            deleting.delete_collection(self._parts, name)

    def remove(self, name: str, row: DocumentRow) -> None:
        """Delete a document of a collection, and its file where it was uploaded."""
        store = self.open(name)
        for deletion in self.finish_whole(name):
            deleting.finish_document(self._parts, store, deletion)
        deleting.delete_document(self._parts, store, row)

    def finish_whole(self, name: str) -> list[Deletion]:
        """Finish the deletion of a collection that was cut off; return those of documents that are left."""
        with self._lock:
            noted = deleting.unfinished(self._parts, name)
            if not any(deletion.whole for deletion in noted):
                return noted
            deleting.delete_collection(self._parts, name)
            return []

    def close(self) -> None:
        """Flush and close all."""
        with self._lock:
            for store in self._open.values():
                store.close()
            self._open.clear()
            self.close_retired()

    def fingerprint(self, built: Fingerprint | None = None) -> Fingerprint:
        """Return the fingerprint of a collection made with these settings.

        A rebuild keeps the old choice of token vectors, and of lines about passages, unless the settings name
        one.
        """
        encoder, chosen = self._parts.encoder, self._parts.settings.ingest
        keeps = built is not None and "token_vectors" not in chosen.model_fields_set
        tokens = built.token_dim is not None if built is not None and keeps else chosen.token_vectors
        return Fingerprint(
            encoder=encoder.id,
            dim=encoder.dim,
            chunker=self._chunker(encoder.max_tokens, built),
            lexical=self._parts.lexical.id,
            token_dim=encoder.token_dim if tokens else None,
        )

    def misfits(self, name: str, built: Fingerprint) -> list[str]:
        """List the reasons why these settings cannot use a collection with that fingerprint.

        Each collection makes its own choice of token vectors; its chunker matters only to ingestion. Raises
        ModelError.
        """
        encoders = self._parts.encoders_of(name, built)
        dense, lexical = encoders.dense, encoders.lexical
        return built.differences(
            replace(built, encoder=dense.id, dim=dense.dim, lexical=lexical.id, schema=SCHEMA_VERSION)
        )

    def check_chunker(self, name: str) -> None:
        """Raise FingerprintMismatchError if new documents would be chunked differently from the old ones."""
        store = self.open(name)
        encoder = self._parts.encoders_of(name, store.fingerprint).dense
        wanted = self._chunker(encoder.max_tokens, store.fingerprint)
        _refuse(store, store.fingerprint.differences(replace(store.fingerprint, chunker=wanted)))

    def _chunker(self, max_tokens: int, built: Fingerprint | None) -> str:
        from ingest.chunking.sizes import ChunkSizes, about_of, chunker_fingerprint

        chosen = self._parts.settings.ingest
        keeps = built is not None and "context" not in chosen.model_fields_set
        about = about_of(built.chunker) if built is not None and keeps else chosen.context
        return chunker_fingerprint(max_tokens, ChunkSizes(about=about))

    def _create(self, name: str) -> CollectionStore:
        self._parts.settings.make_data_dir()
        try:
            self._open[name] = self._parts.stores.create(name, self.fingerprint())
        except BadInputError:
            return self.open(name)  # another process was faster
        # the manifest may still know a deleted collection of that name
        self._parts.manifest(name).clear()
        return self._open[name]

    def _retire(self, name: str) -> None:
        if store := self._open.pop(name, None):
            self._retired.append(store)

    def _check(self, store: CollectionStore) -> None:
        _refuse(store, self.misfits(store.name, store.fingerprint))


def _refuse(store: CollectionStore, differences: Sequence[str]) -> None:
    if differences:
        raise FingerprintMismatchError(
            f"the collection {store.name!r} was built with other settings: {'; '.join(differences)}",
            way_out="Use the settings it was built with, or rebuild it with these: "
            f"winnow ingest --reindex -c {store.name} (the old one answers until the new one is whole).",
        )
