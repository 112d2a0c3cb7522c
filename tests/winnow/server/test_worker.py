"""Long jobs of the server: one at a time, bounded, cancellable, remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from storage.errors import BadInputError, NotFoundError
from winnow.server import worker
from winnow.server.errors import BusyError, Problems
from winnow.server.worker import Tell, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting(worker.Job):
    """Counts its steps, or raises `wrong`."""

    count: int = 0
    wrong: Exception | None = None


class Counter:
    """Work whose second step waits to be released."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.inside = self.most = 0

    def __call__(self, job: Counting, tell: Tell) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            tell(count=1)
            self.begun.set()
            assert self.go.wait(10)
            if job.wrong is not None:
                raise job.wrong
            tell(count=2)
        finally:
            self.inside -= 1


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def worker(counter: Counter) -> Iterator[Worker[Counting]]:
    running = Worker(counter, Problems(["secret"]), kind="counting", waiting=2, remembered=3)
    yield running
    counter.go.set()
    running.finish()


def ended(worker: Worker[Counting], job: Counting) -> Counting:
    while not (found := worker.get(job.id)).ended:
        time.sleep(0.005)
    return found


def test_jobs_run_one_after_the_other_and_tell_how_far_they_are(
    worker: Worker[Counting], counter: Counter
) -> None:
    """Jobs run one at a time and report their progress."""
    first, second = worker.submit(Counting()), worker.submit(Counting())
    assert counter.begun.wait(10)
    assert (worker.get(first.id).count, worker.get(first.id).status) == (1, "running")
    assert worker.get(second.id).status == "queued"
    assert worker.running
    counter.go.set()
    assert [ended(worker, job).count for job in (first, second)] == [2, 2]
    assert counter.most == 1
    assert [job.id for job in worker.all()] == [second.id, first.id]


def test_so_many_wait_and_so_many_are_remembered(worker: Worker[Counting], counter: Counter) -> None:
    """A job beyond the queue's limit is refused with a retry time; the oldest ended job is forgotten."""
    jobs = [worker.submit(Counting())]
    assert counter.begun.wait(10)
    jobs += [worker.submit(Counting()) for _ in range(2)]
    with pytest.raises(BusyError, match="2 counting jobs"):
        worker.check_room()
    counter.go.set()
    for job in jobs:
        ended(worker, job)
    worker.check_room()
    ended(worker, worker.submit(Counting()))
    with pytest.raises(NotFoundError, match="no counting job"):
        worker.get(jobs[0].id)


def test_a_job_is_cancelled_whether_it_waits_or_runs(worker: Worker[Counting], counter: Counter) -> None:
    """A waiting job is cancelled at once, a running one at its next step, an ended one not at all."""
    first, second, third = (worker.submit(Counting()) for _ in range(3))
    assert counter.begun.wait(10)
    assert worker.cancel(second.id).status == "cancelled"
    assert worker.cancel(first.id).status == "running"
    counter.go.set()
    found = ended(worker, first)
    assert (found.status, found.count) == ("cancelled", 1)
    assert ended(worker, third).status == "done"
    assert worker.cancel(third.id).status == "done"
    assert worker.get(second.id).count == 0


def test_what_goes_wrong_is_a_problem_of_that_job_alone(worker: Worker[Counting], counter: Counter) -> None:
    """A job's error is its own: winnow's without secrets, any other as a number; the next job runs."""
    counter.go.set()
    ours = ended(worker, worker.submit(Counting(wrong=BadInputError("the secret is out"))))
    assert ours.error is not None
    assert (ours.status, ours.error["detail"]) == ("failed", "the *** is out")
    mistake = ended(worker, worker.submit(Counting(wrong=ZeroDivisionError("secret"))))
    assert mistake.error is not None
    assert (mistake.status, mistake.error["code"]) == ("failed", "error")
    assert "secret" not in str(mistake.error)
    assert ended(worker, worker.submit(Counting())).status == "done"


def test_the_end_finishes_what_runs_and_cancels_what_waits(counter: Counter) -> None:
    """`finish` waits for the running job and cancels those in the queue."""
    worker = Worker(counter, Problems([]), kind="counting", waiting=2, remembered=3)
    first, second = worker.submit(Counting()), worker.submit(Counting())
    assert counter.begun.wait(10)
    threading.Timer(0.05, counter.go.set).start()
    worker.finish()
    assert [worker.get(job.id).status for job in (first, second)] == ["done", "cancelled"]
