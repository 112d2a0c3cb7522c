"""Collections as their pages show them: size, build settings, problems. Read without opening them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from storage.disk_space import files_below
from storage.errors import WinnowError
from storage.manifest.manifest import DocumentCounts
from storage.qdrant.contract import Fingerprint
from storage.reasons import Reason
from winnow.app.wiring import Wiring
from winnow.server.shared_state import Served
from winnow.server.visible import Visible

_NO_DOCUMENTS = DocumentCounts({}, 0, 0)
_CHINESE = "重排序让最相关的段落排在最前面。"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionView:
    """A collection.

    `built` is None where it cannot be read, and then `problem` says why. `misfits`: why the settings cannot
    search it. `note`: how to move it on from a former default. `left`: what crashes left behind. `chinese`:
    whether its encoder reads Chinese, None where it is not one of ours. `bytes` is None for a collection on a
    Qdrant server, and where a part of it is hidden.
    """

    name: str
    default: bool
    bytes: int | None
    left: Sequence[str]
    counts: DocumentCounts = _NO_DOCUMENTS
    last_run: datetime | None = None
    built: Fingerprint | None = None
    misfits: Sequence[str] = ()
    note: Reason | None = None
    chinese: bool | None = None
    problem: str = ""

    @property
    def documents(self) -> int:
        """The number of documents that can be found, duplicates included."""
        return sum(number for status, number in self.counts.by_status.items() if status != "refused")

    @property
    def refused(self) -> int:
        return self.counts.by_status.get("refused", 0)


def every_collection(served: Served, seen: Visible) -> list[CollectionView]:
    """Return all collections. Raises StoreError where the store cannot be reached."""
    left = seen.wiring.stores.leftovers()
    return [_view(served, seen, name, left.get(name, ())) for name in seen.names()]


def one_collection(served: Served, seen: Visible, name: str) -> CollectionView:
    """Return one collection. Raises NotFoundError, StoreError."""
    name = seen.existing(name)
    return _view(served, seen, name, seen.wiring.stores.leftovers().get(name, ()))


def _view(served: Served, seen: Visible, name: str, left: Sequence[str]) -> CollectionView:
    wiring, whole = seen.wiring, seen.rights.where is None
    size = _bytes(wiring, name) if whole else None
    view = CollectionView(name=name, default=name == seen.default, bytes=size, left=left)
    try:
        manifest = wiring.manifest(name)
        view = replace(view, counts=seen.counts(name), last_run=manifest.last_run_at() if whole else None)
        built = wiring.stores.fingerprint(name)
        if built is None:
            return view
        view = replace(view, built=built)
        encoders = wiring.encoders_of(name, built)
        reads = encoders.dense.reads(_CHINESE) if built.encoder == encoders.dense.id else None
        misfits = wiring.collections.misfits(name, built)
        return replace(view, misfits=misfits, note=encoders.note, chinese=reads)
    except WinnowError as error:  # a damaged one hides no other
        return replace(view, problem=served.problems.sentence(error))


def _bytes(wiring: Wiring, name: str) -> int | None:
    if wiring.settings.store.url is not None:
        return None
    return sum(map(_on_disk, files_below(wiring.settings.collections_dir / name)))


def _on_disk(file: os.stat_result) -> int:
    """Return a file's bytes on disk, without holes."""
    return getattr(file, "st_blocks", -(-file.st_size // 512)) * 512
