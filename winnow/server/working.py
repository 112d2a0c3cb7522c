"""Long work for requests that do not wait for it: jobs, one after the other, in a thread of their own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from storage.errors import NotFoundError, WinnowError
from winnow.server.errors import BusyError

if TYPE_CHECKING:
    from winnow.server.errors import Problems

_RETRY_S = 10
_log = logging.getLogger(__name__)

Status = Literal["queued", "running", "done", "failed", "cancelled"]


class JobCancelledError(Exception):
    """Somebody cancelled the job; whoever works on it lets this pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. A kind of job adds what is asked, its progress and its result."""

    id: str = field(default_factory=lambda: token_hex(8))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: Status = "queued"
    error: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "running")


J = TypeVar("J", bound=Job)
# Tells that some fields of the job have changed. Raises JobCancelledError where the work is to end.
Tell = Callable[..., None]
Work = Callable[[J, Tell], None]


class Worker(Generic[J]):
    """Works on one job at a time; at most `waiting` wait, the last `remembered` stay to be looked at.

    `work` is handed the job and tells what it has come to: `tell(progress=…)`, at the end its result. `kind`
    is what the job is called in messages.
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
        # a daemon: who ends the server a second time does not wait for it
        self._thread = threading.Thread(target=self._work, name=f"winnow-{kind}", daemon=True)
        self._thread.start()

    def check_room(self) -> None:
        """Raises BusyError where too many jobs wait already."""
        waiting = sum(job.status == "queued" for job in self.all())
        if waiting >= self._waiting:
            raise BusyError(
                f"{waiting} {self._kind} jobs are waiting", retry_after=_RETRY_S, way_out="Come again later."
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
        """The job as it stands. Raises NotFoundError."""
        with self._lock:
            found = self._jobs.get(identifier)
        if found is None:
            raise NotFoundError(
                f"there is no {self._kind} job {identifier!r}",
                way_out=f"The last {self._remembered} since the server began are remembered.",
            )
        return found

    def all(self) -> list[J]:
        """The jobs that are remembered, newest first."""
        with self._lock:
            return [*self._jobs.values()][::-1]

    def cancel(self, identifier: str) -> J:
        """End a job that has not ended: one that waits at once, one that runs when it next tells something.

        Raises NotFoundError.
        """
        job = self.get(identifier)
        if not job.ended:
            with self._lock:
                self._cancelled.add(identifier)
                if self._jobs[identifier].status == "queued":
                    self._jobs[identifier] = replace(self._jobs[identifier], status="cancelled")
        return self.get(identifier)

    @property
    def running(self) -> bool:
        """Whether a job is being worked on."""
        return any(job.status == "running" for job in self.all())

    def finish(self) -> None:
        """Finish what began; what waits is cancelled."""
        for job in self.all():
            if job.status == "queued":
                self.cancel(job.id)
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._begun(job.id):
                self._run(job)
            with self._lock:
                self._cancelled.discard(job.id)

    def _begun(self, identifier: str) -> bool:
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
        except Exception as error:  # noqa: BLE001 - the thread must live for the next job
            self._change(job.id, status="failed", error=self._problems.unforeseen(error, job.id))
        else:
            self._change(job.id, status="done")

    def _change(self, identifier: str, **changes: Any) -> None:
        with self._lock:
            self._jobs[identifier] = replace(self._jobs[identifier], **changes)
