"""Collections as their pages show them: size, what they were built with, what they cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from stat import S_ISREG

from storage.errors import WinnowError
from storage.manifest.manifest import DocumentCounts
from storage.qdrant.contract import Fingerprint
from winnow.app.wiring import Wiring
from winnow.server.api import inventory
from winnow.server.served import Served

_CHINESE = "重排序让最相关的段落排在最前面。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A collection, read without opening it.

    `built` is None where it cannot be read, and then `problem` says why. `misfits`: why these settings cannot
    ask it. `left`: what crashes left behind. `chinese`: whether its encoder reads Chinese, None where another
    encoder than the settings' built it. `bytes` is None where the collection is on a server.
    """

    name: str
    default: bool
    built: Fingerprint | None
    counts: DocumentCounts
    last_run: datetime | None
    bytes: int | None
    misfits: Sequence[str]
    left: Sequence[str]
    chinese: bool | None
    problem: str

    @property
    def documents(self) -> int:
        """Those that can be found, the copies of others among them."""
        return sum(number for status, number in self.counts.by_status.items() if status != "refused")

    @property
    def refused(self) -> int:
        return self.counts.by_status.get("refused", 0)


def shelves(served: Served) -> list[Shelf]:
    """All collections. Raises StoreError where the store cannot be asked."""
    wiring = served.pipeline.wiring
    left = wiring.stores.leftovers()
    return [_shelf(served, name, left.get(name, ())) for name in wiring.stores.names()]


def shelf(served: Served, name: str) -> Shelf:
    """One collection. Raises NotFoundError, StoreError."""
    wiring = served.pipeline.wiring
    name = inventory.existing(wiring, name)
    return _shelf(served, name, wiring.stores.leftovers().get(name, ()))


def _shelf(served: Served, name: str, left: Sequence[str]) -> Shelf:
    wiring = served.pipeline.wiring
    built, misfits, chinese, problem = None, list[str](), None, ""
    counts, last_run = DocumentCounts({}, 0, 0), None
    try:
        manifest = wiring.manifest(name)
        counts, last_run = manifest.counts(), manifest.last_run_at()
        built = wiring.stores.fingerprint(name)
        if built is not None:
            misfits = wiring.collections.misfits(built)
            chinese = wiring.encoder.reads(_CHINESE) if built.encoder == wiring.encoder.id else None
    except WinnowError as error:  # one that is damaged hides no other
        problem = served.problems.sentence(error)
    return Shelf(
        name=name,
        default=name == wiring.settings.collection,
        built=built,
        counts=counts,
        last_run=last_run,
        bytes=_bytes(wiring, name),
        misfits=misfits,
        left=left,
        chinese=chinese,
        problem=problem,
    )


def _bytes(wiring: Wiring, name: str) -> int | None:
    if wiring.settings.store.url is not None:
        return None
    return sum(_size(path) for path in (wiring.settings.collections_dir / name).rglob("*"))


def _size(path: Path) -> int:
    """What a file takes on the disk, holes left out; files come and go while they are counted."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return getattr(found, "st_blocks", -(-found.st_size // 512)) * 512 if S_ISREG(found.st_mode) else 0
