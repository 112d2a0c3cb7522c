"""An ingest run: find, compare, parse, encode, write. A file that is already there costs one hash."""

from __future__ import annotations

import time
from dataclasses import replace

from ingest.assembly import Assembly
from ingest.batches import Embedder, Sink, Situates
from ingest.chunking.sizes import chunker_fingerprint
from ingest.discover import Paths, discover
from ingest.dry_run import DryRun
from ingest.engines.local import LocalEngine
from ingest.engines.tasks import Engine, Setup
from ingest.loaders.pdf.ocr import check_installed
from ingest.options import IngestOptions
from ingest.plan import Planner
from ingest.report import IngestReport
from ingest.steps import IngestRun, OnProgress
from storage.manifest.manifest import Manifest
from storage.qdrant.contract import Writer
from storage.vectors import TermEncoder, TextEncoder

# A page that is a picture takes seconds, one with text milliseconds.
_OCR_TIME = 10


class Ingestor:
    """Brings files into one collection. One run at a time; `engine` is where the work is done, `situates` the
    chat model that writes a line about each passage, where one does."""

    def __init__(
        self,
        store: Writer,
        encoder: TextEncoder,
        lexical: TermEncoder,
        manifest: Manifest,
        options: IngestOptions | None = None,
        engine: Engine | None = None,
        situates: Situates | None = None,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._manifest = manifest
        self._options = options or IngestOptions()
        self._local = LocalEngine(
            Embedder(encoder, lexical, tokens=self._options.tokens), self._options.workers
        )
        self._engine = engine or self._local
        self._situates = situates

    def run(
        self,
        paths: Paths,
        *,
        progress: OnProgress | None = None,
        prune: bool = False,
        reindex: bool = False,
        dry_run: bool = False,
    ) -> IngestReport:
        """Ingest files and trees; see `ingest.discover.discover` for what a path means.

        `prune` removes documents below the given paths whose files are gone. `reindex` reads and encodes
        unchanged files again. `dry_run` parses, but encodes only a sample and writes nothing.

        A file that cannot be ingested is reported as `refused`, and the run continues. Raises NotFoundError,
        StoreError, LogError, and MissingDependencyError where scans are to be read without the extra. After
        an interruption the next run continues where this one stopped.
        """
        if self._options.ocr:
            check_installed()
        sink: Sink | DryRun = DryRun(self._local.encodes) if dry_run else Sink(self._store, self._manifest)
        encodes = sink if isinstance(sink, DryRun) else self._engine.encodes
        engine = self._local if dry_run else self._engine
        started = time.monotonic()
        try:
            with engine.parses(self._setup()) as parses:
                planner = Planner(self._manifest, self._options, self._chunker(), reindex=reindex)
                situates = None if dry_run else self._situates
                assembly = Assembly(encodes, sink, self._manifest, planner, self._options.batch, situates)
                run = IngestRun(discover(paths), planner, parses, assembly, self._manifest, progress)
                run.through(prune=prune)
        finally:
            sink.close()
        report = run.report(time.monotonic() - started)
        if isinstance(sink, DryRun):
            # nothing was added to the collection; the estimate says what would be
            return replace(report, dry_run=True, embedded=0, illegible=0, estimate=sink.estimate())
        self._store.flush()
        self._manifest.save_run(report.to_json())
        return report

    def _chunker(self) -> str:
        return chunker_fingerprint(self._encoder.max_tokens, self._options.sizes)

    def _setup(self) -> Setup:
        limits = self._options.limits
        if self._options.ocr:
            limits = replace(limits, seconds=_OCR_TIME * limits.seconds)
        return Setup(
            counter=self._encoder.counter,
            max_tokens=self._encoder.max_tokens,
            sizes=self._options.sizes,
            limits=limits,
            ocr=self._options.ocr,
            columns=self._options.columns,
        )
