"""Examines whether a collection is whole: its files, its passages and its manifest, held against each other.

A passage's id derives from its document and its text, so that a text that changed on the disk shows. Vectors
have no checksum: a sample of them is read, and must have the length that the encoder gave them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from storage.errors import NotFoundError, StoreError, StoreLockedError, StoreUnavailableError
from storage.manifest.deletions import Deletion
from storage.manifest.manifest import PENDING, DocumentRow
from storage.qdrant.contract import CollectionStore, chunk_id
from storage.reasons import Reason
from storage.records import Chunk
from winnow.app.deleting import unfinished
from winnow.app.wiring import Wiring
from winnow.upkeep.rebuild import known_documents

Remedy = Literal["rebuild", "tidy", "none"]

# Hears what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]

_SAMPLE = 256
_REPORT_EVERY = 1_000
_INGESTED = "ingested"
# stored in 32 bits, normalised by the encoder and again by the engine
_LENGTH_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Damage:
    """Something wrong with a collection; `remedy` is what `doctor --repair` does about it.

    `rebuild`: build the collection again from its files. `tidy`: remove or enter what is left over.
    """

    kind: str
    finding: str
    remedy: Remedy
    advice: str = ""

    @property
    def harmless(self) -> bool:
        return self.kind in ("deletion", "leftovers", "pending", "unlisted")


@dataclass(slots=True)
class StoredDocuments:
    """The contents of a collection: passage ids by document, and one passage of each document."""

    ids: dict[str, set[str]] = field(default_factory=dict)
    first: dict[str, Chunk] = field(default_factory=dict)
    altered: int = 0
    # documents that are being deleted: what is left of them does not count
    leaving: frozenset[str] = frozenset()

    def add(self, chunk: Chunk) -> None:
        if chunk.document_id in self.leaving:
            return
        self.ids.setdefault(chunk.document_id, set()).add(chunk.id)
        self.first.setdefault(chunk.document_id, chunk)
        self.altered += not _is_its_own(chunk)

    @property
    def passages(self) -> int:
        return sum(map(len, self.ids.values()))


@dataclass(frozen=True, slots=True)
class ExaminedCollection:
    """A collection and its damages; `stored` is what could be read of it."""

    name: str
    damages: tuple[Damage, ...]
    stored: StoredDocuments
    known: Mapping[str, DocumentRow]

    def needs(self, remedy: Remedy) -> bool:
        return any(damage.remedy == remedy for damage in self.damages)


def examine(wiring: Wiring, name: str, progress: Progress | None = None) -> ExaminedCollection:
    """Read the whole collection, but only a sample of its vectors; `progress` hears how far that is.

    Raises StoreUnavailableError and LogError; everything else that is wrong is in the result.
    """
    known, stored = known_documents(wiring, name), StoredDocuments()
    begun = unfinished(wiring, name)
    damages = [*_deletions(begun, name), *_leftovers(wiring, name)]
    if not any(deletion.whole for deletion in begun):
        stored.leaving = frozenset(deletion.document for deletion in begun)
        known = {id_: row for id_, row in known.items() if id_ not in stored.leaving}
        damages.extend(_contents(wiring, name, known, stored, progress))
    return ExaminedCollection(name, tuple(damages), stored, known)


def _deletions(begun: Sequence[Deletion], name: str) -> Iterable[Damage]:
    if begun:
        what = _some([str(deletion) for deletion in begun])
        finding = Reason("winnow.upkeep.deletion-interrupted", what=what)
        yield Damage("deletion", finding, "tidy", Reason("winnow.upkeep.finishes", name=name))


def _leftovers(wiring: Wiring, name: str) -> Iterable[Damage]:
    left = wiring.stores.leftovers().get(name, ())
    if left:
        yield Damage("leftovers", Reason("winnow.upkeep.left-behind", left=left), "tidy", _repair(name))


def _contents(
    wiring: Wiring,
    name: str,
    known: Mapping[str, DocumentRow],
    stored: StoredDocuments,
    progress: Progress | None,
) -> Iterable[Damage]:
    try:
        with closing(wiring.stores.open(name)) as store:
            for chunk in _all_chunks(store, progress):
                stored.add(chunk)
            yield from _vectors(store, stored)
    except NotFoundError as error:
        if documents := _ingested(known):
            finding = Reason("winnow.upkeep.collection-missing", error=str(error), n=len(documents))
            yield Damage("missing", finding, "rebuild", _repair(name))
        return
    except (StoreLockedError, StoreUnavailableError) as error:
        yield Damage("unreachable", str(error), "none", error.way_out)
        return
    except StoreError as error:
        yield Damage("corrupt", str(error), "rebuild", _repair(name))
        return
    if stored.altered:
        finding = Reason("winnow.upkeep.text-altered", n=stored.altered)
        yield Damage("corrupt", finding, "rebuild", _repair(name))
    yield from _against(known, stored, name)


def _all_chunks(store: CollectionStore, progress: Progress | None) -> Iterator[Chunk]:
    total = store.count() if progress else 0
    for done, chunk in enumerate(store.chunks()):
        if progress and done % _REPORT_EVERY == 0:
            progress(f"reading {store.name}", done, total)
        yield chunk
    if progress:
        progress(f"reading {store.name}", total, total)


def _vectors(store: CollectionStore, stored: StoredDocuments) -> Iterable[Damage]:
    ids = sorted(id_ for several in stored.ids.values() for id_ in several)
    sample = ids[:: max(1, len(ids) // _SAMPLE)][:_SAMPLE]
    wrong = 0
    for point in store.points(sample):
        if point.dense is not None:
            wrong += not abs(float(np.linalg.norm(point.dense)) - 1) < _LENGTH_TOLERANCE
        elif point.chunk.legible:
            wrong += 1
    if wrong:
        finding = Reason("winnow.upkeep.vectors-damaged", n=wrong, of=len(sample))
        yield Damage("corrupt", finding, "rebuild", _repair(store.name))


def _against(known: Mapping[str, DocumentRow], stored: StoredDocuments, name: str) -> Iterable[Damage]:
    """Hold the manifest against the store."""
    lost = [row.source for row in _ingested(known) if not set(row.chunk_ids) <= stored.ids.get(row.id, set())]
    if lost:
        finding = Reason("winnow.upkeep.documents-lack-passages", n=len(lost), documents=_some(lost))
        yield Damage("lost", finding, "rebuild", _repair(name))
    if stale := stale_passages(known, stored):
        finding = Reason("winnow.upkeep.passages-unknown", n=len(stale))
        yield Damage("stale", finding, "tidy", _repair(name))
    if cut_off := [row.source for row in known.values() if row.status == PENDING]:
        finding = Reason("winnow.upkeep.documents-cut-off", n=len(cut_off), documents=_some(cut_off))
        yield Damage("pending", finding, "tidy", Reason("winnow.upkeep.run-again"))
    if unlisted := [stored.first[one].source for one in stored.ids if one not in known]:
        finding = Reason("winnow.upkeep.documents-unlisted", n=len(unlisted), documents=_some(unlisted))
        yield Damage("unlisted", finding, "tidy", Reason("winnow.upkeep.enters-unlisted", name=name))


def stale_passages(known: Mapping[str, DocumentRow], stored: StoredDocuments) -> list[DocumentRow]:
    """Return documents with more passages stored than theirs; those of a run in progress do not count."""
    return [
        row
        for row in known.values()
        if row.status != PENDING and stored.ids.get(row.id, set()) - set(row.chunk_ids)
    ]


def _ingested(known: Mapping[str, DocumentRow]) -> list[DocumentRow]:
    return [row for row in known.values() if row.status == _INGESTED]


def _is_its_own(chunk: Chunk) -> bool:
    """Return whether the id is that of the text, at any occurrence in the document."""
    return any(
        chunk.id == chunk_id(chunk.document_id, chunk.text, occurrence)
        for occurrence in range(max(0, chunk.ordinal) + 1)
    )


def _repair(name: str) -> Reason:
    return Reason("winnow.upkeep.mends", name=name)


def _some(sources: Sequence[str]) -> str:
    shown = ", ".join(sorted(sources)[:3])
    return f"{shown} …" if len(sources) > 3 else shown
