"""Background jobs: long work for requests that do not wait for it, one at a time in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar

from storage.errors import NotFoundError, WinnowError
from winnow.server.errors import BusyError

if TYPE_CHECKING:
    from winnow.server.errors import Problems

_RETRY_S = 10
_log = logging.getLogger(__name__)

JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]


class JobCancelledError(Exception):
    """Raised in the work of a job that was cancelled; let it pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A snapshot of a job. Each kind of job adds its input, its progress and its result."""

    id: str = field(default_factory=lambda: token_hex(8))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: JobStatus = "queued"
    error: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "running")


J = TypeVar("J", bound=Job)
# Changes fields of the job. Raises JobCancelledError where the work must end.
Tell = Callable[..., None]
Work = Callable[[J, Tell], None]


class Worker(Generic[J]):
    """Runs one job at a time; at most `waiting` wait, the last `remembered` can be looked up.

    `work` gets the job and reports with `tell(progress=…)`, at the end with its result. `kind` names the job
    in messages.
    """

    def __init__(
        self, work: Work[J], problems: Problems, *, kind: str, waiting: int, remembered: int
    ) -> None:
        self._work_on = work
        self._problems = problems
        self._kind = kind
        self._waiting = waiting
        self._remembered = remembered
        self._jobs: dict[str, J] = {}
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[J | None] = queue.SimpleQueue()
        # a daemon, so that a second signal ends the server without waiting for it
        self._thread = threading.Thread(target=self._work, name=f"winnow-{kind}", daemon=True)
        self._thread.start()

    def check_room(self) -> None:
        """Raise BusyError where too many jobs are waiting."""
        waiting = sum(job.status == "queued" for job in self.all())
        if waiting >= self._waiting:
            raise BusyError(
                f"{waiting} {self._kind} jobs are waiting", retry_after=_RETRY_S, way_out="Try again later."
            )

    def submit(self, job: J) -> J:
        """Queue a job."""
        with self._lock:
            self._jobs[job.id] = job
            ended = [one.id for one in self._jobs.values() if one.ended]
            for old in ended[: max(0, len(self._jobs) - self._remembered)]:
                del self._jobs[old]
        self._queue.put(job)
        return job

    def get(self, identifier: str) -> J:
        """Return a snapshot of the job. Raises NotFoundError."""
        with self._lock:
            job = self._jobs.get(identifier)
        return job or self.unknown(identifier)

    def unknown(self, identifier: str) -> NoReturn:
        """Raise the error for a job that is not there."""
        raise NotFoundError(
            f"there is no {self._kind} job {identifier!r}",
            way_out=f"The last {self._remembered} since the server started are remembered.",
        )

    def all(self) -> list[J]:
        """Return the jobs that are remembered, newest first."""
        with self._lock:
            return [*self._jobs.values()][::-1]

    def cancel(self, identifier: str) -> J:
        """Cancel a job: a waiting one at once, a running one when it next reports. Raises NotFoundError."""
        job = self.get(identifier)
        if not job.ended:
            with self._lock:
                self._cancelled.add(identifier)
                if self._jobs[identifier].status == "queued":
                    self._jobs[identifier] = replace(self._jobs[identifier], status="cancelled")
        return self.get(identifier)

    @property
    def running(self) -> bool:
        return any(job.status == "running" for job in self.all())

    def finish(self) -> None:
        """Finish the running job, cancel the waiting ones, end the thread."""
        for job in self.all():
            if job.status == "queued":
                Worker.cancel(self, job.id)  # as far as this process goes
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._start(job.id):
                self._run(job)
            with self._lock:
                self._cancelled.discard(job.id)

    def _start(self, identifier: str) -> bool:
        """Mark a job as running, unless it was cancelled."""
        with self._lock:
            if identifier in self._cancelled:
                return False
            self._jobs[identifier] = replace(self._jobs[identifier], status="running")
        return True

    def _run(self, job: J) -> None:
        def tell(**changes: Any) -> None:
            if job.id in self._cancelled:
                raise JobCancelledError
            self._change(job.id, **changes)

        try:
            self._work_on(job, tell)
        except JobCancelledError:
            self._change(job.id, status="cancelled")
        except WinnowError as error:
            _log.warning("%s job %s: %s", self._kind, job.id, self._problems.shown(str(error)))
            self._change(job.id, status="failed", error=self._problems.of(error))
        except Exception as error:  # noqa: BLE001 - the thread must survive for the next job
            self._change(job.id, status="failed", error=self._problems.unforeseen(error, job.id))
        else:
            self._change(job.id, status="done")

    def _change(self, identifier: str, **changes: Any) -> None:
        with self._lock:
            self._jobs[identifier] = replace(self._jobs[identifier], **changes)
