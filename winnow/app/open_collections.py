"""The collections that a process has open: opened once, checked, swapped, dropped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from storage.errors import BadInputError, FingerprintMismatchError, NotFoundError, WinnowError
from storage.qdrant.contract import CollectionStore, Fingerprint, Rebuild

if TYPE_CHECKING:
    from winnow.app.parts import Parts

_log = logging.getLogger(__name__)


class OpenCollections:
    """Open collections by name. Safe to use from several threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = parts.lock
        self._open: dict[str, CollectionStore] = {}
        self._retired: list[CollectionStore] = []

    def open(self, name: str) -> CollectionStore:
        """A collection that fits the encoder. Raises NotFoundError, FingerprintMismatchError …"""
        with self._lock:
            held = self._open.get(name)
            if held is not None and held.generation != self._parts.stores.generation(name):
                self._retire(name)  # another process swapped it
            if name not in self._open:
                store = self._parts.stores.open(name)
                try:
                    self._check(store)
                except BaseException:
                    store.close()
                    raise
                self._open[name] = store
            return self._open[name]

    def open_or_create(self, name: str) -> CollectionStore:
        """A collection to ingest into, made if it is not there."""
        with self._lock:
            try:
                return self.open(name)
            except NotFoundError:
                return self._create(name)

    def held(self, name: str) -> CollectionStore | None:
        """The collection where it is open here, whatever it was built with."""
        return self._open.get(name)

    def swap(self, rebuild: Rebuild, old: CollectionStore | None) -> CollectionStore:
        """The new generation is the collection from now on; questions on their way keep the one before.

        A question that comes meanwhile waits: it would find the one swapped and the other not open yet.
        """
        with self._lock:
            store = rebuild.finish(old)
            self._retire(store.name)
            self._open[store.name] = store
            return store

    def close_retired(self) -> None:
        """Let go of collections that were replaced while questions may have been asking them."""
        with self._lock:
            while self._retired:
                store = self._retired.pop()
                store.close()
                try:
                    self._parts.stores.sweep(store.name)
                except WinnowError as error:
                    _log.warning("what %r was before its re-index stays for now: %s", store.name, error)

    def drop(self, name: str) -> None:
        """Delete a collection and what the manifest knows of it."""
        from storage.manifest.manifest import Manifest

        with self._lock:
            self.close_retired()
            if store := self._open.pop(name, None):
                store.close()
            self._parts.stores.drop(name)
            Manifest(self._parts.database, name).clear()

    def close(self) -> None:
        """Flush and let go of all."""
        with self._lock:
            for store in self._open.values():
                store.close()
            self._open.clear()
            self.close_retired()

    def fingerprint(self, built: Fingerprint | None = None) -> Fingerprint:
        """What a collection that is made now is made with.

        One that is built anew keeps its choice of token vectors where the settings do not name one.
        """
        from ingest.chunking.chunker import ChunkSizes, chunker_fingerprint

        encoder, chosen = self._parts.encoder, self._parts.settings.ingest
        keeps = built is not None and "token_vectors" not in chosen.model_fields_set
        tokens = built.token_dim is not None if built is not None and keeps else chosen.token_vectors
        return Fingerprint(
            encoder=encoder.id,
            dim=encoder.dim,
            chunker=chunker_fingerprint(encoder.max_tokens, ChunkSizes()),
            lexical=self._parts.lexical.id,
            token_dim=encoder.token_dim if tokens else None,
        )

    def misfits(self, built: Fingerprint) -> list[str]:
        """Why these settings cannot ask a collection that was built so; empty where they can.

        A collection decides for itself whether it has token vectors; its chunker matters to ingestion alone.
        """
        wanted = self.fingerprint(built)
        return built.differences(replace(wanted, chunker=built.chunker, token_dim=built.token_dim))

    def check_chunker(self, name: str) -> None:
        """Raises FingerprintMismatchError where new documents would be cut otherwise than the old ones."""
        store = self.open(name)
        wanted = replace(store.fingerprint, chunker=self.fingerprint().chunker)
        _refuse(store, store.fingerprint.differences(wanted))

    def _create(self, name: str) -> CollectionStore:
        self._parts.settings.make_data_dir()
        try:
            self._open[name] = self._parts.stores.create(name, self.fingerprint())
        except BadInputError:
            return self.open(name)  # another process was quicker
        # what the manifest may still hold belongs to a collection of that name that is gone
        self._parts.manifest(name).clear()
        return self._open[name]

    def _retire(self, name: str) -> None:
        if store := self._open.pop(name, None):
            self._retired.append(store)

    def _check(self, store: CollectionStore) -> None:
        _refuse(store, self.misfits(store.fingerprint))


def _refuse(store: CollectionStore, differences: Sequence[str]) -> None:
    if differences:
        raise FingerprintMismatchError(
            f"the collection {store.name!r} was built with other settings: {'; '.join(differences)}",
            way_out="Use the settings it was built with, or build it anew with these: "
            f"winnow ingest --reindex -c {store.name} (the old one answers until the new one is whole).",
        )
