"""Builds a collection again next to the one in use, then swaps them: `--reindex`, `doctor --repair`.

One atomic step in the store decides which of the two is in use (`storage.qdrant.contract.Rebuild.finish`).
The manifest keeps a list of documents for each generation, written before that step and found through it, so
that store and manifest change together whatever is interrupted. What a crash leaves is resumed or removed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.batches import Embedder
from ingest.loaders.base import Columns
from ingest.report import DocumentResult, Estimate, IngestReport, Progress
from storage.errors import NotFoundError, StoreCorruptError, StoreError, StoreLockedError
from storage.manifest.manifest import DocumentRow, Manifest
from storage.qdrant.contract import CollectionStore, Fingerprint, Rebuild
from storage.records import Usage
from winnow.app.deleting import finish_document, forget_lines
from winnow.app.setting_defaults import EngineName
from winnow.app.stores import scratch
from winnow.app.wiring import Wiring
from winnow.upkeep.chat_lines import ChatLines
from winnow.upkeep.copy_forward import CopyForward, LateWrites
from winnow.upkeep.graph import build_where_it_pays
from winnow.upkeep.sources import Sources

Paths = Sequence[str | Path]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestChoices:
    """The options of an ingest: see `winnow.pipeline.RAGPipeline.ingest`."""

    prune: bool = False
    reindex: bool = False
    dry_run: bool = False
    columns: Columns | None = None
    engine: EngineName | None = None
    progress: Callable[[Progress], None] | None = None


def reindex(wiring: Wiring, name: str, paths: Paths, choices: IngestChoices) -> IngestReport:
    """Build the collection again with the current settings and swap.

    It is built from the files that the manifest names and those below `paths`; `prune` leaves out documents
    whose files are gone (below `paths`, where there are any).

    The old one answers until the swap; the next call resumes whatever was interrupted. Raises NotFoundError
    where there is nothing to build from, StoreLockedError where another process builds it too or has the old
    one open at the end, StoreError, LogError.
    """
    started = time.monotonic()
    wiring.collections.close_retired()
    finish_deletions(wiring, name)  # the files of what was being deleted may still be there
    return _Reindex(wiring, name, paths, choices).run(started)


def estimate(wiring: Wiring, name: str, paths: Paths, choices: IngestChoices) -> IngestReport:
    """Estimate what `reindex` would take: parse everything, encode a sample, write nothing."""
    started = time.monotonic()
    sources = Sources.of(known_documents(wiring, name).values(), paths, choices.columns)
    if not wiring.stores.exists(name):
        raise NotFoundError(f"there is no collection {name!r}", way_out="Leave out --reindex.")
    with scratch(name, wiring.collections.fingerprint(_built_with(wiring, name))) as store:
        reports = [
            wiring.ingestor_into(store, columns=columns).run(paths, progress=choices.progress, dry_run=True)
            for columns, paths in sources.groups.items()
        ]
    whole = _merged(reports, sources.skipped, time.monotonic() - started)
    return replace(whole, dry_run=True, estimate=_summed(reports))


def concerns_all(wiring: Wiring, name: str, paths: Paths) -> bool:
    """Return whether a re-index concerns the whole collection, or other settings than it was built with.

    Where it does not, the documents below `paths` are replaced in place, which costs only them.
    """
    try:
        built = wiring.stores.fingerprint(name)
    except StoreCorruptError:
        return True
    if built is None:
        return not paths
    if built != wiring.collections.fingerprint(built) or not paths:
        return True
    given = Sources.of((), paths, None)
    return all(given.covers(row.source) for row in wiring.manifest(name).rows())


def known_documents(wiring: Wiring, name: str) -> dict[str, DocumentRow]:
    """Return the manifest's row of every document, by id; of all generations where none can be read."""
    try:
        generations = [wiring.stores.generation(name)]
    except StoreCorruptError:
        generations = Manifest(wiring.database, name).generations()
    rows = (row for one in generations for row in Manifest(wiring.database, name, one).rows())
    return {row.id: row for row in rows}


@contextmanager
def opened(wiring: Wiring, name: str) -> Iterator[CollectionStore | None]:
    """Open the collection in use, whatever it was built with; None where none can be opened."""
    held = wiring.collections.held(name)
    if held is not None and _is_current(wiring, held):
        yield held
        return
    try:
        store = wiring.stores.open(name)
    except (NotFoundError, StoreCorruptError) as error:
        if isinstance(error, StoreCorruptError):
            _log.warning("%s; what only its passages hold is lost", error)
        yield None
        return
    with closing(store):
        yield store


def finish_deletions(wiring: Wiring, name: str) -> None:
    """Finish the deletions that were cut off. Raises StoreLockedError, StoreUnavailableError, LogError."""
    if left := wiring.collections.finish_whole(name):
        with opened(wiring, name) as store:
            for deletion in left:
                finish_document(wiring, store, deletion)


def _built_with(wiring: Wiring, name: str) -> Fingerprint | None:
    try:
        return wiring.stores.fingerprint(name)
    except StoreCorruptError:
        return None


def _is_current(wiring: Wiring, held: CollectionStore) -> bool:
    try:
        return held.generation == wiring.stores.generation(held.name)
    except StoreCorruptError:
        return True  # embedded, and locked by this process: nobody else can have swapped it


class _Reindex:
    def __init__(self, wiring: Wiring, name: str, paths: Paths, choices: IngestChoices) -> None:
        self._wiring = wiring
        self._name = name
        self._paths = paths
        self._choices = choices
        self._lines: ChatLines | None = None

    def run(self, started: float) -> IngestReport:
        known = known_documents(self._wiring, self._name)
        sources = self._sources(known)
        built = _built_with(self._wiring, self._name)
        if built is None and not known and not sources.read:
            raise NotFoundError(
                f"there is nothing to build {self._name!r} from", way_out="Name files: winnow ingest PATH..."
            )
        # the old one is not opened before the end, so that other processes may ask it meanwhile
        with self._wiring.stores.rebuild(self._name, self._wiring.collections.fingerprint(built)) as rebuild:
            self._lines = ChatLines.of(self._wiring, rebuild.store)
            if rebuild.resumed:
                self._forget_unlisted(rebuild.store)
            reports = self._read(rebuild, sources)
            build_where_it_pays(rebuild.store, self._choices.progress)
            with self._old() as old:
                if (now := known_documents(self._wiring, self._name)) != known:  # somebody ingested meanwhile
                    known, sources = now, self._sources(now)
                    reports += self._read(rebuild, sources)
                late = self._watched(old, known)
                reports.append(self._copied_forward(rebuild.store, known, sources, late or old))
                in_use = self._wiring.collections.held(self._name) is not None
                store = self._wiring.collections.swap(rebuild, old)
                if late is not None:
                    reports.append(self._caught_up(late, store))
        report = _merged(reports, sources.skipped, time.monotonic() - started)
        self._settle(report, set(known), in_use=in_use)
        return report

    def _sources(self, known: Mapping[str, DocumentRow]) -> Sources:
        accepted = [
            path for upload in self._wiring.uploads.all(self._name) for path in upload.paths if path.exists()
        ]
        return Sources.of(known.values(), self._paths, self._choices.columns, accepted=accepted)

    def _forget_unlisted(self, store: CollectionStore) -> None:
        """Delete what no list has: it may be of an older generation and would come back unasked."""
        listed = {row.id for row in self._manifest(store).rows()}
        for document in {chunk.document_id for chunk in store.chunks()} - listed:
            store.delete_document(document)

    @contextmanager
    def _old(self) -> Iterator[CollectionStore | None]:
        try:
            with opened(self._wiring, self._name) as old:
                yield old
        except StoreLockedError as error:
            raise StoreLockedError(
                f"the new collection is built; it cannot take the place of the old one yet: {error}",
                way_out="End that process and run the same command again: it goes on from here.",
            ) from error

    def _read(self, rebuild: Rebuild, sources: Sources) -> list[IngestReport]:
        """Ingest every file into the new generation; one that an earlier attempt read costs a hash."""
        return [
            self._wiring.ingestor_into(rebuild.store, columns=columns, situates=self._lines).run(
                paths, progress=self._choices.progress
            )
            for columns, paths in sources.groups.items()
        ]

    def _watched(self, old: CollectionStore | None, known: Mapping[str, DocumentRow]) -> LateWrites | None:
        """Watch the old generation where others may write to it until the swap, and after."""
        if old is None or self._wiring.settings.store.url is None:
            return None
        return LateWrites(old, self._manifest(old), known)

    def _copied_forward(
        self,
        store: CollectionStore,
        known: Mapping[str, DocumentRow],
        sources: Sources,
        old: CollectionStore | LateWrites | None,
    ) -> IngestReport:
        embedder, prune = self._embedder(store), self._choices.prune
        copy = CopyForward(store, self._manifest(store), embedder, known, sources, prune=prune)
        return copy.run(old.chunks() if old else ()).report()

    def _caught_up(self, late: LateWrites, store: CollectionStore) -> IngestReport:
        try:
            return late.replay(store, self._manifest(store), self._embedder(store)).report()
        except StoreError as error:
            raise StoreError(
                f"the new collection is in use; what others wrote to the old one meanwhile is lost: {error}",
                way_out="Ingest again what was ingested elsewhere while this ran.",
            ) from error

    def _manifest(self, store: CollectionStore) -> Manifest:
        return Manifest(self._wiring.database, self._name, store.generation)

    def _embedder(self, store: CollectionStore) -> Embedder:
        encoders = self._wiring.encoders_of(self._name, store.fingerprint)
        return Embedder(encoders.dense, encoders.lexical, tokens=store.fingerprint.token_dim is not None)

    def _settle(self, report: IngestReport, known: set[str], *, in_use: bool) -> None:
        """Clean up after the swap: whatever fails here, the new collection is in use.

        The old one stays for now where this process may be asking it.
        """
        manifest = self._wiring.manifest(self._name)
        manifest.forget_others()
        manifest.save_run(report.to_json())
        forget_lines(
            self._wiring.settings.lines_dir / self._name, known - {row.id for row in manifest.rows()}
        )
        if not in_use:
            self._wiring.stores.sweep(self._name)


def _merged(reports: Sequence[IngestReport], skipped: Mapping[str, int], seconds: float) -> IngestReport:
    """Return one report of all rounds, with the last word on each document."""
    results: dict[str, DocumentResult] = {}
    for result in (result for report in reports for result in report.documents):
        # what a later round found unchanged was read by the round before
        if result.status != "unchanged" or result.path not in results:
            results[result.path] = result
    return IngestReport(
        documents=tuple(results[path] for path in sorted(results)),
        seconds=seconds,
        embedded=sum(report.embedded for report in reports),
        illegible=sum(report.illegible for report in reports),
        skipped=skipped,
        usage=sum((report.usage for report in reports), Usage()),
        context=next((report.context for report in reversed(reports) if report.context), None),
    )


def _summed(reports: Sequence[IngestReport]) -> Estimate:
    estimates = [report.estimate for report in reports if report.estimate is not None]
    return Estimate(
        sum(estimate.passages for estimate in estimates),
        sum(estimate.seconds for estimate in estimates),
        sum(estimate.bytes for estimate in estimates),
    )
