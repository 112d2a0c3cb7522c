"""The child process that parses: it reads tasks from stdin and writes replies to stdout, both pickled.

A file that breaks its parser (a crash in native code, an endless loop, too much memory) ends only this
process; the parent names the file and starts a new one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from typing import BinaryIO

from ingest.engines.tasks import Reply, Setup, Task
from ingest.parse import Parser


def main() -> None:
    """Serve tasks until stdin ends, as it does when the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    inbox, outbox = sys.stdin.buffer, _private_stdout()
    setup: Setup = pickle.load(inbox)
    _limit_memory(setup.limits.worker_bytes)
    parser = Parser(setup)
    _send(outbox, None)
    while True:
        try:
            task: Task = pickle.load(inbox)
        except EOFError:
            return
        for reply in _timed(parser.parse(task), setup.limits.seconds):
            _send(outbox, reply)


def _private_stdout() -> BinaryIO:
    """Redirect stdout, so that the output of native libraries cannot mix with the replies."""
    private = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return private


def _limit_memory(size: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _timed(replies: Iterator[Reply], seconds: float) -> Iterator[Reply]:
    """Pass replies on; if one takes longer than `seconds`, an alarm ends this process."""
    alarm = getattr(signal, "setitimer", None)
    while True:
        if alarm:
            alarm(signal.ITIMER_REAL, seconds)
        reply = next(replies, None)
        if alarm:
            alarm(signal.ITIMER_REAL, 0)
        if reply is None:
            return
        yield reply


def _send(outbox: BinaryIO, message: Reply | None) -> None:
    pickle.dump(message, outbox, protocol=pickle.HIGHEST_PROTOCOL)
    outbox.flush()
