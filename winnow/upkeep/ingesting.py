"""An ingest run from its beginning to its end: in place, beside the old collection, or only estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import BadInputError
from winnow.app import distributed, parts
from winnow.upkeep import rebuild
from winnow.upkeep.graph import build_where_it_pays

if TYPE_CHECKING:
    from ingest.loaders.base import Columns
    from ingest.report import IngestReport, Progress
    from winnow.app.sections import EngineName
    from winnow.app.wiring import Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestChoices:
    """See `winnow.pipeline.RAGPipeline.ingest`."""

    prune: bool = False
    reindex: bool = False
    dry_run: bool = False
    columns: Columns | None = None
    engine: EngineName | None = None
    progress: Callable[[Progress], None] | None = None


def ingest(wiring: Wiring, name: str, paths: Sequence[str | Path], choices: IngestChoices) -> IngestReport:
    """Bring files and trees into a collection.

    Raises BadInputError, FingerprintMismatchError (other settings than the collection's, without `reindex`),
    StoreError, LogError.
    """
    from ingest.discover import discover

    on_ray = (choices.engine or wiring.settings.ingest.engine) == "ray"
    if on_ray:
        distributed.check(wiring.settings)
    if not paths and (on_ray or not choices.reindex):
        raise BadInputError(
            "there is nothing to ingest", way_out="Name files or folders: winnow ingest PATH..."
        )
    discover(paths)  # a mistyped path makes no collection
    if choices.reindex and not on_ray and rebuild.must_be_beside(wiring, name, paths):
        return _beside(wiring, name, paths, choices)
    return _in_place(wiring, name, paths, choices)


def _beside(wiring: Wiring, name: str, paths: Sequence[str | Path], choices: IngestChoices) -> IngestReport:
    how = rebuild.RebuildChoices(
        paths=paths, columns=choices.columns, prune=choices.prune, progress=choices.progress
    )
    act = rebuild.estimate if choices.dry_run else rebuild.reindex
    return act(wiring, name, how)


def _in_place(wiring: Wiring, name: str, paths: Sequence[str | Path], choices: IngestChoices) -> IngestReport:
    if name in wiring.stores.names():
        wiring.collections.check_chunker(name)
    elif choices.dry_run:
        return _before_there_is_one(wiring, name, paths, choices)
    ingestor = wiring.ingestor(name, columns=choices.columns, engine=choices.engine)
    report = ingestor.run(
        paths,
        progress=choices.progress,
        prune=choices.prune,
        reindex=choices.reindex,
        dry_run=choices.dry_run,
    )
    if report.embedded and not choices.dry_run:
        build_where_it_pays(wiring.collection(name), choices.progress)
    return report


def _before_there_is_one(
    wiring: Wiring, name: str, paths: Sequence[str | Path], choices: IngestChoices
) -> IngestReport:
    """A dry run into a collection that is not made for it: somebody else may be making one of that name."""
    with parts.scratch(name, wiring.collections.fingerprint()) as store:
        ingestor = wiring.ingestor_into(store, columns=choices.columns)
        return ingestor.run(paths, progress=choices.progress, dry_run=True)
