"""Ingest jobs, which write to collections one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.manifest.uploads import AcceptedUpload
from winnow.server.errors import BusyError
from winnow.server.worker import Job, Tell, Worker

if TYPE_CHECKING:
    from ingest.report import IngestReport, Progress
    from winnow.pipeline import RAGPipeline
    from winnow.server.errors import Problems
    from winnow.server.uploads import UploadArea

_REMEMBERED = 100
_MOST_WAITING = 16
_RETRY_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadJob(Job):
    """An ingest of uploaded files, as far as it is."""

    collection: str
    paths: tuple[Path, ...]
    progress: Progress | None = None
    report: IngestReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the job as the API shows it."""
        return {
            "id": self.id,
            "collection": self.collection,
            "status": self.status,
            "files": [path.name for path in self.paths],
            "created_at": self.created_at.isoformat(),
            "progress": self.progress and _progress(self.progress),
            "report": self.report and self.report.to_dict(),
            "error": self.error,
        }


class Jobs(Worker[UploadJob]):
    """The ingest jobs of a server, which are kept in the database until they are done or cancelled.

    A server that starts takes up those that an earlier one left, the failed ones too.
    """

    def __init__(self, pipeline: RAGPipeline, area: UploadArea, problems: Problems) -> None:
        self._pipeline = pipeline
        self._area = area
        self._turn = threading.Condition()
        self._writing = False
        self._deletions = 0
        super().__init__(self._ingest, problems, kind="ingest", waiting=_MOST_WAITING, remembered=_REMEMBERED)

    def accept(self, job: UploadJob) -> UploadJob:
        """Keep a job in the database, then queue it. Raises LogError."""
        accepted = AcceptedUpload(job.id, job.collection, job.created_at, job.paths)
        self._pipeline.wiring.uploads.add(accepted)
        return self.submit(job)

    def resume(self) -> None:
        """Queue what earlier servers accepted and did not finish. Raises LogError."""
        if not self._pipeline.wiring.has_database:
            return
        for left in self._pipeline.wiring.uploads.all():
            self.submit(
                UploadJob(
                    id=left.id, collection=left.collection, created_at=left.created_at, paths=left.paths
                )
            )

    def cancel(self, identifier: str) -> UploadJob:
        job = super().cancel(identifier)
        if job.status == "cancelled":
            self._pipeline.wiring.uploads.forget([job.id])
        return job

    @contextmanager
    def alone(self, patience_s: float) -> Iterator[None]:
        """Write to a collection between two jobs, before the next one begins.

        Raises BusyError where the running one does not end within `patience_s` seconds.
        """
        with self._turn:
            self._deletions += 1
            try:
                if not self._turn.wait_for(lambda: not self._writing, patience_s):
                    raise BusyError(
                        f"an ingest job is running; waited {patience_s:g} s",
                        retry_after=_RETRY_S,
                        way_out="Try again later.",
                    )
                self._writing = True
            finally:
                self._deletions -= 1
        try:
            yield
        finally:
            self._end()

    def _ingest(self, job: UploadJob, tell: Tell) -> None:
        with self._turn:
            self._turn.wait_for(lambda: not (self._writing or self._deletions))
            self._writing = True
        try:
            paths = [path for path in job.paths if path.exists()]  # one may be deleted by now
            report = paths and self._pipeline.ingest(
                paths, collection=job.collection, progress=lambda progress: tell(progress=progress)
            )
        finally:
            self._end()
        self._pipeline.wiring.uploads.forget([job.id])
        if report:
            for refused in report.refused:  # no document of the collection: nobody would delete its file
                self._area.forget(refused.path)
            tell(report=report)

    def _end(self) -> None:
        with self._turn:
            self._writing = False
            self._turn.notify_all()


def _progress(value: Progress) -> dict[str, Any]:
    values = asdict(value)
    return {**values, "document": Path(values.pop("path")).name}
