"""Ingest jobs: one after the other, in a thread of their own; the last ones are remembered."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal

from storage.errors import NotFoundError, WinnowError
from winnow.server.errors import BusyError

if TYPE_CHECKING:
    from ingest.report import IngestReport, Progress
    from winnow.pipeline import RAGPipeline
    from winnow.server.errors import Problems
    from winnow.server.uploads import UploadArea

_REMEMBERED = 100
_MOST_WAITING = 16
_RETRY_S = 10
_log = logging.getLogger(__name__)

Status = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An ingest of uploaded files, as it stands."""

    id: str
    collection: str
    paths: tuple[Path, ...]
    created_at: datetime
    status: Status = "queued"
    progress: Progress | None = None
    report: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

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


@dataclass(slots=True)
class _Shelf:
    """The jobs by id, oldest first."""

    jobs: dict[str, Job] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, job: Job) -> None:
        with self.lock:
            self.jobs[job.id] = job
            ended = [one.id for one in self.jobs.values() if one.status not in ("queued", "running")]
            for old in ended[: max(0, len(self.jobs) - _REMEMBERED)]:
                del self.jobs[old]

    def change(self, job: Job, **changes: Any) -> None:
        with self.lock:
            self.jobs[job.id] = replace(self.jobs[job.id], **changes)

    def all(self) -> list[Job]:
        with self.lock:
            return list(self.jobs.values())


class Jobs:
    """Who writes to collections: one at a time."""

    def __init__(self, pipeline: RAGPipeline, area: UploadArea, problems: Problems) -> None:
        self._pipeline = pipeline
        self._area = area
        self._problems = problems
        self._shelf = _Shelf()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._ending = False
        # a daemon: who ends the server a second time does not wait for it
        self._thread = threading.Thread(target=self._work, name="winnow-ingest", daemon=True)
        self._thread.start()

    def check_room(self) -> None:
        """Raises BusyError where too many jobs wait already."""
        waiting = sum(job.status == "queued" for job in self._shelf.all())
        if waiting >= _MOST_WAITING:
            raise BusyError(
                f"{waiting} ingest jobs are waiting", retry_after=_RETRY_S, way_out="Come again later."
            )

    def submit(self, collection: str, paths: Sequence[Path]) -> Job:
        """Queue an ingest of these files."""
        job = Job(id=token_hex(8), collection=collection, paths=tuple(paths), created_at=datetime.now(UTC))
        self._shelf.put(job)
        self._queue.put(job)
        return job

    def get(self, identifier: str) -> Job:
        """The job as it stands. Raises NotFoundError."""
        found = next((job for job in self._shelf.all() if job.id == identifier), None)
        if found is None:
            raise NotFoundError(
                f"there is no ingest job {identifier!r}",
                way_out=f"See /v1/ingest; the last {_REMEMBERED} since the server began are remembered.",
            )
        return found

    def all(self) -> list[Job]:
        """The jobs that are remembered, newest first."""
        return self._shelf.all()[::-1]

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
        return any(job.status == "running" for job in self._shelf.all())

    def finish(self) -> None:
        """Finish what began; what waits is cancelled, and its files stay for the next ingest."""
        self._ending = True
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._ending:
                self._shelf.change(job, status="cancelled")
                continue
            with self._writing:
                self._run(job)

    def _run(self, job: Job) -> None:
        self._shelf.change(job, status="running")
        try:
            report = self._pipeline.ingest(
                list(job.paths),
                collection=job.collection,
                progress=lambda progress: self._shelf.change(job, progress=progress),
            )
        except WinnowError as error:
            _log.warning("ingest job %s: %s", job.id, self._problems.shown(str(error)))
            self._shelf.change(job, status="failed", error=self._problems.of(error))
        except Exception as error:  # noqa: BLE001 - the thread must live for the next job
            self._shelf.change(job, status="failed", error=self._problems.unforeseen(error, job.id))
        else:
            self._forget_refused(report)
            self._shelf.change(job, status="done", report=report.to_dict())

    def _forget_refused(self, report: IngestReport) -> None:
        """A file that is no document of the collection has nobody who would delete it."""
        for result in report.refused:
            self._area.forget(result.path)


def _progress(value: Progress) -> dict[str, Any]:
    values = asdict(value)
    return {**values, "document": Path(values.pop("path")).name}
