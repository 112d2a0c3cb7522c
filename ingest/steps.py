"""The steps of a run: decide on each file, have it parsed, hand what comes back to the assembly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ingest.assembly import Assembly, OpenFile
from ingest.discover import Discovery, FoundFile, owners
from ingest.engines.tasks import Done, Parsed, Parses, Task
from ingest.plan import Decision, FileState, Planner
from ingest.report import DocumentResult, IngestReport, Progress
from storage.manifest.manifest import DocumentRow, Manifest
from storage.reasons import Reason

_REPORT_EVERY_S = 0.1

OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class IngestRun:
    """One run over the files that were found."""

    found: Discovery
    planner: Planner
    parses: Parses
    assembly: Assembly
    manifest: Manifest
    progress: OnProgress | None
    _open: dict[str, OpenFile] = field(default_factory=dict, init=False)
    _waiting: list[Decision] = field(default_factory=list, init=False)
    _started: float = field(default_factory=time.monotonic, init=False)
    _done: int = field(default=0, init=False)
    _bytes_done: int = field(default=0, init=False)
    _bytes_total: int = field(init=False)
    _reported_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._bytes_total = sum(file.size for file in self.found.files)

    def through(self, *, prune: bool) -> None:
        """Ingest all files, then those that had to wait for others of the same content."""
        self._drive(self.planner.decisions(self.found.files))
        if prune:
            self._prune()
        self._settle()
        self._adopt_duplicates()
        self._settle()

    def report(self, seconds: float) -> IngestReport:
        return IngestReport(
            documents=tuple(sorted(self.assembly.results, key=lambda result: result.path)),
            seconds=seconds,
            embedded=self.assembly.embedded,
            illegible=self.assembly.illegible,
            usage=self.assembly.usage,
            context=None if self.assembly.situates is None else self.assembly.situates.outcome,
            skipped=dict(self.found.skipped),
            unsupported=tuple(self.found.unsupported),
        )

    def _drive(self, decisions: Iterable[Decision]) -> None:
        coming = iter(decisions)
        while True:
            while self.parses.has_room and (decision := next(coming, None)) is not None:
                self._start(decision)
            if self.parses.idle:
                break
            self._receive()
        self.assembly.settle()

    def _start(self, decision: Decision) -> None:
        file, result = decision.file, decision.result
        if decision.state is FileState.WAIT:
            self._waiting.append(decision)
        elif decision.state is FileState.PARSE:
            self._open[file.source] = OpenFile(decision)
            self.parses.submit(Task(str(file.path.absolute()), file.source))
        elif result is not None:
            if result.status == "duplicate":
                self.assembly.duplicate(decision, self.planner.duplicate_row(decision), result)
            else:
                self.assembly.results.append(result)
            self._count(file)

    def _receive(self) -> None:
        task, reply = self.parses.next_reply()
        file = self._open[task.source]
        if isinstance(reply, Parsed):
            self.assembly.add(file, reply)
            self._report_progress(task.source)
            return
        if isinstance(reply, Done):
            self.assembly.finish(file, reply)
        else:
            self.assembly.refuse(file, reply)
        del self._open[task.source]
        self._count(file.decision.file)

    def _settle(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            self._drive(self.planner.settle(waiting))

    def _prune(self) -> None:
        """Remove documents below the given paths whose files are no longer there."""
        present = {file.source for file in self.found.files}
        gone = [
            row
            for row in self.manifest.rows()
            if self.found.covers(row.source) and not any(owner in present for owner in owners(row.source))
        ]
        sources = {row.source for row in gone}
        for row in gone:
            self.assembly.remove(row)
            is_record = any(owner in sources for owner in islice(owners(row.source), 1, None))
            if row.status in ("ingested", "duplicate") and not is_record:
                self.assembly.results.append(
                    DocumentResult(row.source, "removed", Reason("ingest.file-gone"))
                )
        self.assembly.settle()

    def _adopt_duplicates(self) -> None:
        """Let duplicates elsewhere take the place of originals that changed or left."""
        if not self.assembly.gone:
            return
        looked_at = {file.source for file in self.found.files}
        for row in self.manifest.rows():
            if (
                row.status == "duplicate"
                and row.duplicate_of in self.assembly.gone
                and row.source not in looked_at
            ):
                self._adopt(row)

    def _adopt(self, row: DocumentRow) -> None:
        path = Path(row.source)
        if path.is_file():
            self._waiting.extend(self.planner.decisions([FoundFile(path, row.source, path.stat().st_size)]))

    def _count(self, file: FoundFile) -> None:
        self._done += 1
        self._bytes_done += file.size
        self._report_progress(file.source)

    def _report_progress(self, path: str) -> None:
        if self.progress is None:
            return
        seconds, total, files = time.monotonic() - self._started, self._bytes_total, len(self.found.files)
        if seconds - self._reported_at < _REPORT_EVERY_S and self._done < files:
            return
        self._reported_at = seconds
        passages = self.assembly.embedded + self.assembly.illegible
        self.progress(
            Progress(
                documents=min(self._done, files),
                documents_total=files,
                bytes_done=self._bytes_done,
                bytes_total=total,
                passages=passages,
                passages_per_second=passages / seconds if seconds else 0.0,
                seconds_left=seconds * (total - self._bytes_done) / self._bytes_done
                if self._bytes_done
                else None,
                path=path,
            )
        )
