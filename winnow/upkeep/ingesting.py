"""Runs an ingest: into the collection in place, into a new one next to it, or as an estimate."""

from __future__ import annotations

from ingest.discover import discover
from ingest.report import IngestReport
from storage.errors import BadInputError
from winnow.app import distributed, parts
from winnow.app.wiring import Wiring
from winnow.upkeep import rebuild
from winnow.upkeep.graph import build_where_it_pays
from winnow.upkeep.rebuild import IngestChoices, Paths


def ingest(wiring: Wiring, name: str, paths: Paths, choices: IngestChoices) -> IngestReport:
    """Bring files and trees into a collection.

    Raises BadInputError, FingerprintMismatchError (other settings than the collection's, without `reindex`),
    StoreError, LogError.
    """
    on_ray = (choices.engine or wiring.settings.ingest.engine) == "ray"
    if on_ray:
        distributed.check(wiring.settings)
    if not paths and (on_ray or not choices.reindex):
        raise BadInputError(
            "there is nothing to ingest", way_out="Name files or folders: winnow ingest PATH..."
        )
    discover(paths)  # a mistyped path makes no collection
    wiring.collections.finish_whole(name)
    if choices.reindex and not on_ray and rebuild.concerns_all(wiring, name, paths):
        act = rebuild.estimate if choices.dry_run else rebuild.reindex
        return act(wiring, name, paths, choices)
    if name not in wiring.stores.names() and choices.dry_run:
        # not made for an estimate: somebody else may be making one of that name
        with parts.scratch(name, wiring.collections.fingerprint()) as store:
            ingestor = wiring.ingestor_into(store, columns=choices.columns)
            return ingestor.run(paths, progress=choices.progress, dry_run=True)
    return _in_place(wiring, name, paths, choices)


def _in_place(wiring: Wiring, name: str, paths: Paths, choices: IngestChoices) -> IngestReport:
    if name in wiring.stores.names():
        wiring.collections.check_chunker(name)
    report = wiring.ingestor(name, columns=choices.columns, engine=choices.engine).run(
        paths,
        progress=choices.progress,
        prune=choices.prune,
        reindex=choices.reindex,
        dry_run=choices.dry_run,
    )
    if not choices.dry_run and (report.embedded or not wiring.collection(name).has_graph):
        # also where nothing is new: an earlier run may have been killed while it built
        build_where_it_pays(wiring.collection(name), choices.progress)
    return report
