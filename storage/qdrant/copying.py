"""Copies a collection's passages from one store to another: resumable, and verified at the end.

Passages that the target has are not sent again, so that an interrupted copy resumes when it is started again.
Ids and checksums of payloads are compared, not token vectors: those are stored in a few bits and read back
rounded, so that no two stores agree on their last digits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storage.errors import FingerprintMismatchError, StoreError
from storage.qdrant.contract import CollectionStore
from storage.qdrant.points import to_payload
from storage.records import Chunk

# Read and written at a time: some 25 MB where every passage has 256 token vectors of 384 dimensions.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Copied:
    """The result of a copy: passages sent, and passages that were present already."""

    sent: int
    present: int

    @property
    def total(self) -> int:
        return self.sent + self.present


def copy_passages(
    source: CollectionStore, target: CollectionStore, *, progress: Callable[[int, int], None] | None = None
) -> Copied:
    """Make `target` hold what `source` holds. `progress` is called with (passages done, passages in all).

    Raises FingerprintMismatchError; StoreError where the target holds passages that the source does not, or
    where the two still differ in the end (somebody wrote meanwhile).
    """
    if differences := source.fingerprint.differences(target.fingerprint):
        raise FingerprintMismatchError(
            f"the two collections were not built alike: {'; '.join(differences)}",
            way_out="Copy to a new name, or delete the collection there first.",
        )
    here, there = checksums(source), checksums(target)
    if strangers := there.keys() - here.keys():
        raise StoreError(
            f"the collection there holds {len(strangers)} passages that this one does not",
            way_out="Copy to a new name, or delete the collection there first. Nothing was written.",
        )
    missing = [id_ for id_, checksum in here.items() if there.get(id_) != checksum]
    present = len(here) - len(missing)
    for start in range(0, len(missing), _BATCH):
        ids = missing[start : start + _BATCH]
        target.upsert(source.points(ids))
        if progress is not None:
            progress(present + start + len(ids), len(here))
    target.flush()
    _verify(here, checksums(target))
    return Copied(len(missing), present)


def checksums(collection: CollectionStore) -> dict[str, bytes]:
    """Return the ids of all passages with a SHA-256 of each payload."""
    return {chunk.id: _checksum(chunk) for chunk in collection.chunks()}


def _checksum(chunk: Chunk) -> bytes:
    payload = json.dumps(to_payload(chunk), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(payload.encode()).digest()


def _verify(here: Mapping[str, bytes], there: Mapping[str, bytes]) -> None:
    lost = len(here.keys() - there.keys())
    added = len(there.keys() - here.keys())
    changed = sum(there.get(id_, checksum) != checksum for id_, checksum in here.items())
    if lost or added or changed:
        raise StoreError(
            f"the copy differs: {lost} passages missing, {changed} changed, {added} too many",
            way_out="Did somebody write to one of them meanwhile? Start the copy again: it sends the rest.",
        )
