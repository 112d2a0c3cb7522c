"""The engine of one machine: parser processes, one thread for each, and the encoder in this process."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import BinaryIO, cast

from ingest.batches import Embedder
from ingest.engines.tasks import Done, Encodes, Parses, Refused, Reply, Setup, Task
from storage.errors import WinnowError
from storage.reasons import Reason

# The most replies that wait while the encoder is busy, which bounds memory.
_WAITING_REPLIES = 8
_TASKS_A_WORKER = 3
# The child finds modules where the parent does, and never runs the parent's main module.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from ingest.engines.worker import main; main()"
)


class LocalEngine:
    """Parser processes on this machine; the encoder in this process."""

    def __init__(self, embedder: Embedder, workers: int) -> None:
        self.encodes: Encodes = embedder
        self._workers = workers

    def parses(self, setup: Setup) -> AbstractContextManager[Parses]:
        return closing(ParserPool(setup, self._workers))


class ParserPool:
    """Parses files in `size` processes. They start with the first task, and end with the pool."""

    def __init__(self, setup: Setup, size: int) -> None:
        self._setup = setup
        self._size = size
        self._tasks: Queue[Task | None] = Queue()
        self._replies: Queue[tuple[Task, Reply] | BaseException] = Queue(_WAITING_REPLIES)
        self._threads: list[Thread] = []
        self._workers: list[_Worker] = []
        self._closing = Event()
        self._open = 0

    @property
    def has_room(self) -> bool:
        return self._open < self._size * _TASKS_A_WORKER

    @property
    def idle(self) -> bool:
        return self._open == 0

    def submit(self, task: Task) -> None:
        """Parse a file soon; its replies come through `next_reply`."""
        self._open += 1
        self._tasks.put(task)
        if len(self._threads) < min(self._size, self._open):
            self._start()

    def next_reply(self) -> tuple[Task, Reply]:
        """The next reply of any task; Done or Refused is a task's last. Raises what a worker raised."""
        answer = self._replies.get()
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer[1], Done | Refused):
            self._open -= 1
        return answer

    def close(self) -> None:
        """End the processes; work in progress is lost."""
        self._closing.set()
        # Any thread may take any of these, so all are queued before the first thread is waited for.
        for _ in self._threads:
            self._tasks.put(None)
        for thread, worker in zip(self._threads, self._workers, strict=True):
            while thread.is_alive():
                worker.kill()  # repeatedly, as its process may just be starting
                self._discard()
                thread.join(0.01)

    def _discard(self) -> None:
        with suppress(Empty):  # a thread that waits for room continues, and sees that the pool closes
            while True:
                self._replies.get_nowait()

    def _start(self) -> None:
        worker = _Worker(self._setup)
        thread = Thread(target=self._serve, args=(worker,), name=f"parser-{len(self._threads)}", daemon=True)
        self._workers.append(worker)
        self._threads.append(thread)
        thread.start()

    def _serve(self, worker: _Worker) -> None:
        try:
            while not self._closing.is_set() and (task := self._tasks.get()) is not None:
                for reply in worker.replies(task):
                    if self._closing.is_set():
                        return
                    self._replies.put((task, reply))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for replies
            self._replies.put(error)
        finally:
            worker.end()


class _Worker:
    """One process, started when needed and again after a crash."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None

    def replies(self, task: Task) -> Iterator[Reply]:
        """The replies to one task; a process that dies over it makes the last one a refusal."""
        process = self._running()
        try:
            _send(process, task)
            while True:
                reply = cast(Reply, pickle.load(cast(BinaryIO, process.stdout)))
                yield reply
                if isinstance(reply, Done | Refused):
                    return
        except (EOFError, OSError, pickle.UnpicklingError):
            self._process = None
            yield Refused(self._cause_of_death(Path(task.path).name, _ended(process)))

    def kill(self) -> None:
        """Kill the process, from any thread; a thread that waits for it sees its end."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            _ended(self._process)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            try:
                _send(self._process, self._setup)
                pickle.load(cast(BinaryIO, self._process.stdout))
            except (EOFError, OSError) as error:
                raise WinnowError(
                    f"the process that parses files does not start (exit code {_ended(self._process)})",
                    way_out="Try: python -c 'import ingest.engines.worker'",
                ) from error
        return self._process

    def _cause_of_death(self, name: str, code: int) -> Reason:
        if code == -getattr(signal, "SIGALRM", 0):
            why = Reason("ingest.out-of-time", seconds=self._setup.limits.seconds)
            return Reason("ingest.timeout", file=name, why=why)
        return Reason("ingest.damaged", file=name, why=Reason("ingest.parser-crashed", exit_code=code))


def _ended(process: subprocess.Popen[bytes]) -> int:
    """End a process if it has not ended, close its pipes and return its exit code."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.5)  # a crash has its own exit code, and is about to have it
    process.kill()
    with suppress(BrokenPipeError), process:  # the rest of a message can no longer be sent
        pass
    return process.wait()


def _send(process: subprocess.Popen[bytes], message: Setup | Task) -> None:
    inbox = cast(BinaryIO, process.stdin)
    pickle.dump(message, inbox, protocol=pickle.HIGHEST_PROTOCOL)
    inbox.flush()
