"""Runs an ingest: into the collection in place, into a new one next to it, or as an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ingest.discover import discover
from ingest.report import DocumentResult, IngestReport
from ingest.sources.fetching import fetch, is_address
from storage.errors import BadInputError
from storage.qdrant.contract import checked_name
from storage.reasons import Reason
from winnow.app import distributed
from winnow.app.deleting import forget_lines
from winnow.app.stores import scratch
from winnow.app.wiring import Wiring
from winnow.upkeep import rebuild
from winnow.upkeep.chat_lines import ChatLines
from winnow.upkeep.graph import build_where_it_pays
from winnow.upkeep.rebuild import IngestChoices, Paths


def ingest(wiring: Wiring, name: str, paths: Paths, choices: IngestChoices) -> IngestReport:
    """Bring files, trees and what addresses name (pages, repositories, objects) into a collection.

    What is fetched is kept below the collection's uploads, and goes when its document is deleted.

    Raises BadInputError, FingerprintMismatchError (other settings than the collection's, without `reindex`),
    StoreError, LogError.
    """
    if addresses := [str(path) for path in paths if is_address(path)]:
        return _with_fetched(wiring, name, paths, addresses, choices)
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
    if not wiring.stores.exists(name) and choices.dry_run:
        # not made for an estimate: somebody else may be making one of that name
        with scratch(name, wiring.collections.fingerprint()) as store:
            ingestor = wiring.ingestor_into(store, columns=choices.columns)
            return ingestor.run(paths, progress=choices.progress, dry_run=True)
    return _in_place(wiring, name, paths, choices)


def _with_fetched(
    wiring: Wiring, name: str, paths: Paths, addresses: Sequence[str], choices: IngestChoices
) -> IngestReport:
    """Ingest with copies in the place of addresses; what could not be fetched is in the report."""
    settings = wiring.settings
    settings.make_data_dir()
    folder = settings.uploads_dir.absolute() / checked_name(name) / "fetched"
    copies, left = fetch(addresses, folder, private=settings.ingest.private, prune=choices.prune)
    named = [*(path for path in paths if not is_address(path)), *copies]
    if not named:
        why = left[0].reason if left else Reason("ingest.nothing-to-read")
        raise BadInputError(f"{addresses[0]} was not fetched: {why}")
    report = ingest(wiring, name, named, choices)
    refused = [
        DocumentResult(one.url, "refused", Reason("ingest.not-fetched", why=one.reason)) for one in left
    ]
    whole = replace(report, documents=(*report.documents, *refused))
    if left and not choices.dry_run:
        wiring.manifest(name).save_run(whole.to_json())
    return whole


def _in_place(wiring: Wiring, name: str, paths: Paths, choices: IngestChoices) -> IngestReport:
    if wiring.stores.exists(name):
        wiring.collections.check_chunker(name)
    if not choices.dry_run:
        ChatLines.check(wiring.settings, wiring.traced_chat)  # before there is a collection that needs lines
    store = wiring.collections.open_or_create(name)
    on_ray = (choices.engine or wiring.settings.ingest.engine) == "ray"
    lines = None if choices.dry_run else ChatLines.of(wiring, store)
    kept = wiring.settings.lines_dir / name
    known = _documents(wiring, name) if kept.is_dir() else set()
    ingestor = wiring.ingestor_into(store, columns=choices.columns, on_ray=on_ray, situates=lines)
    report = ingestor.run(
        paths,
        progress=choices.progress,
        prune=choices.prune,
        reindex=choices.reindex,
        dry_run=choices.dry_run,
    )
    if known:
        forget_lines(kept, known - _documents(wiring, name))
    if not choices.dry_run and (report.embedded or not wiring.collection(name).has_graph):
        # also where nothing is new: an earlier run may have been killed while it built
        build_where_it_pays(wiring.collection(name), choices.progress)
    return report


def _documents(wiring: Wiring, name: str) -> set[str]:
    return {row.id for row in wiring.manifest(name).rows()}
