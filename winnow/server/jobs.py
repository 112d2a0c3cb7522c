"""Ingest jobs: who writes to collections, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.server import working
from winnow.server.errors import BusyError
from winnow.server.working import Tell, Worker

if TYPE_CHECKING:
    from ingest.report import IngestReport, Progress
    from winnow.pipeline import RAGPipeline
    from winnow.server.errors import Problems
    from winnow.server.uploads import UploadArea

_REMEMBERED = 100
_MOST_WAITING = 16
_RETRY_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(working.Job):
    """An ingest of uploaded files, as it stands."""

    collection: str
    paths: tuple[Path, ...]
    progress: Progress | None = None
    report: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The job as the API shows it."""
        return {
            "id": self.id,
            "collection": self.collection,
            "status": self.status,
            "files": [path.name for path in self.paths],
            "created_at": self.created_at.isoformat(),
            "progress": self.progress and _progress(self.progress),
            "report": self.report,
            "error": self.error,
        }


class Jobs:
    """The ingest jobs of a server."""

    def __init__(self, pipeline: RAGPipeline, area: UploadArea, problems: Problems) -> None:
        self._pipeline = pipeline
        self._area = area
        self._writing = threading.Lock()
        self._worker: Worker[Job] = Worker(
            self._ingest, problems, kind="ingest", waiting=_MOST_WAITING, remembered=_REMEMBERED
        )

    def check_room(self) -> None:
        """Raises BusyError where too many jobs wait already."""
        self._worker.check_room()

    def submit(self, collection: str, paths: Sequence[Path]) -> Job:
        """Queue an ingest of these files."""
        return self._worker.submit(Job(collection=collection, paths=tuple(paths)))

    def get(self, identifier: str) -> Job:
        """The job as it stands. Raises NotFoundError."""
        return self._worker.get(identifier)

    def all(self) -> list[Job]:
        """The jobs that are remembered, newest first."""
        return self._worker.all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Write to a collection while no job does. Raises BusyError where one does."""
        if not self._writing.acquire(blocking=False):
            raise BusyError("an ingest job is running", retry_after=_RETRY_S, way_out="Come again later.")
        try:
            yield
        finally:
            self._writing.release()

    @property
    def running(self) -> bool:
        """Whether a job is being worked on."""
        return self._worker.running

    def finish(self) -> None:
        """Finish what began; what waits is cancelled, and its files stay for the next ingest."""
        self._worker.finish()

    def _ingest(self, job: Job, tell: Tell) -> None:
        with self._writing:
            report = self._pipeline.ingest(
                list(job.paths), collection=job.collection, progress=lambda progress: tell(progress=progress)
            )
        self._forget_refused(report)
        tell(report=report.to_dict())

    def _forget_refused(self, report: IngestReport) -> None:
        """A file that is no document of the collection has nobody who would delete it."""
        for result in report.refused:
            self._area.forget(result.path)


def _progress(value: Progress) -> dict[str, Any]:
    values = asdict(value)
    return {**values, "document": Path(values.pop("path")).name}
