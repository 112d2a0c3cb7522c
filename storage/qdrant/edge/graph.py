"""Builds the graph of a collection's dense vectors, in a separate process and a copy of the shard.

A graph takes minutes, and the engine's binding holds the interpreter's lock for as long as a call lasts.
Built in the process that answers, it would block every answer meanwhile, and Ctrl-C.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from storage.errors import StoreError

_BUILT = "built"
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from storage.qdrant.edge.graph import build; build(sys.argv[2], int(sys.argv[3]))"
)
# Linux' prctl: the signal to get when the parent ends.
_PR_SET_PDEATHSIG = 1


def built_in_copy(shard: Path, copy: Path) -> bool:
    """Copy a shard that is flushed and not written to, and build the graph in the copy.

    Returns False, and leaves no copy, where there was nothing to build. Raises StoreError.
    """
    built = False
    try:
        shutil.copytree(shard, copy)
        built = _in_a_process(copy)
    except OSError as error:
        raise StoreError(f"{shard} cannot be copied to build its graph: {error}") from error
    finally:
        if not built:
            shutil.rmtree(copy, ignore_errors=True)
    return built


def _in_a_process(shard: Path) -> bool:
    process = subprocess.Popen(
        [sys.executable, "-c", _START, json.dumps(sys.path), str(shard), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C comes to this process alone, which ends that one
    )
    try:
        output, errors = process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode != 0:
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise StoreError(f"the process that builds the graph ended with code {process.returncode}: {last}")
    return output.decode().strip() == _BUILT


def build(shard: str, parent: int) -> None:
    """Build the graph, in that process; print whether there was anything to do."""
    import qdrant_edge

    _end_with(parent)
    opened = qdrant_edge.EdgeShard.load(shard)
    done = opened.optimize()
    opened.flush()
    opened.close()
    print(_BUILT if done else "")  # noqa: T201 - to the process that waits for it


def _end_with(parent: int) -> None:
    """Have the system end this process when its parent ends, however that ends.

    A thread that watches the parent would not run: the engine's call holds the interpreter's lock. Elsewhere
    than on Linux the process ends when the graph is built, which nobody then takes over.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that
            sys.exit(1)
