"""A collection's passages from one store to another: resumable, and verified at the end.

What is there already is not sent again, so that a copy that broke off is taken up by starting it anew. Ids
and checksums of the payloads are what is compared: token vectors are stored in a few bits and read back
rounded, so that no two stores agree on their last digits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from storage.errors import FingerprintMismatchError, StoreError
from storage.qdrant.contract import CollectionStore, Fingerprint
from storage.qdrant.points import to_payload
from storage.records import Chunk

# Read and written at a time: some 25 MB where every passage has 256 token vectors of 384 dimensions.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Copied:
    """How a copy went: passages sent, and passages that were there already."""

    sent: int
    present: int

    @property
    def total(self) -> int:
        return self.sent + self.present


def copy_passages(
    source: CollectionStore, target: CollectionStore, *, progress: Callable[[int, int], None] | None = None
) -> Copied:
    """Make `target` hold what `source` holds. `progress` hears (passages done, passages in all).

    Raises FingerprintMismatchError; StoreError where the target holds passages that the source does not, or
    where the two still differ in the end (somebody wrote meanwhile).
    """
    _check_fingerprints(source.fingerprint, target.fingerprint)
    here, there = checksums(source), checksums(target)
    _check_strangers(here, there)
    missing = [id_ for id_, checksum in here.items() if there.get(id_) != checksum]
    present = len(here) - len(missing)
    sent = 0
    for ids in _batches(missing):
        target.upsert(source.points(ids))
        sent += len(ids)
        if progress is not None:
            progress(present + sent, len(here))
    target.flush()
    _verify(here, checksums(target))
    return Copied(sent, present)


def checksums(collection: CollectionStore) -> dict[str, bytes]:
    """The ids of all passages and a SHA-256 of each one's payload."""
    return {chunk.id: _checksum(chunk) for chunk in collection.chunks()}


def _checksum(chunk: Chunk) -> bytes:
    payload = json.dumps(to_payload(chunk), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(payload.encode()).digest()


def _check_fingerprints(here: Fingerprint, there: Fingerprint) -> None:
    if differences := here.differences(there):
        raise FingerprintMismatchError(
            f"the two collections were not built alike: {'; '.join(differences)}",
            way_out="Copy to a new name, or delete the collection there first.",
        )


def _check_strangers(here: Mapping[str, bytes], there: Mapping[str, bytes]) -> None:
    strangers = there.keys() - here.keys()
    if strangers:
        raise StoreError(
            f"the collection there holds {len(strangers)} passages that this one does not",
            way_out="Copy to a new name, or delete the collection there first. Nothing was written.",
        )


def _verify(here: Mapping[str, bytes], there: Mapping[str, bytes]) -> None:
    lost = len(here.keys() - there.keys())
    added = len(there.keys() - here.keys())
    changed = sum(there.get(id_, checksum) != checksum for id_, checksum in here.items())
    if lost or added or changed:
        raise StoreError(
            f"the copy differs: {lost} passages missing, {changed} changed, {added} too many",
            way_out="Did somebody write to one of them meanwhile? Start the copy again: it sends the rest.",
        )


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(ids)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
