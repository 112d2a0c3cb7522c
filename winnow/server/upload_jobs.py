"""Ingest jobs, which write to collections one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """The ingest jobs of a server. Files of jobs that are cancelled stay for the next ingest."""

    def __init__(self, pipeline: RAGPipeline, area: UploadArea, problems: Problems) -> None:
        self._pipeline = pipeline
        self._area = area
        self._writing = threading.Lock()
        super().__init__(self._ingest, problems, kind="ingest", waiting=_MOST_WAITING, remembered=_REMEMBERED)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Write to a collection while no job does. Raises BusyError where one does."""
        if not self._writing.acquire(blocking=False):
            raise BusyError("an ingest job is running", retry_after=_RETRY_S, way_out="Try again later.")
        try:
            yield
        finally:
            self._writing.release()

    def _ingest(self, job: UploadJob, tell: Tell) -> None:
        with self._writing:
            report = self._pipeline.ingest(
                list(job.paths), collection=job.collection, progress=lambda progress: tell(progress=progress)
            )
        for refused in report.refused:  # no document of the collection, so nobody would delete its file
            self._area.forget(refused.path)
        tell(report=report)


def _progress(value: Progress) -> dict[str, Any]:
    values = asdict(value)
    return {**values, "document": Path(values.pop("path")).name}
