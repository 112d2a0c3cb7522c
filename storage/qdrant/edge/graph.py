"""The graph of a collection's dense vectors, built by a process of its own in a copy of the shard.

A graph takes minutes, and the engine's binding holds the interpreter's lock for as long as a call lasts.
Built in the process that answers, nobody would get an answer meanwhile, and Ctrl-C would not be heard.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from storage.errors import StoreError

_SAYS_THAT_IT_BUILT = "built"
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from storage.qdrant.edge.graph import build; build(sys.argv[2])"
)


def built_in_copy(shard: Path, copy: Path) -> bool:
    """Copy a shard that is flushed and that nobody writes to, and build the graph in the copy.

    False where there was nothing to build. Raises StoreError where it cannot be done. The copy is there only
    where a graph was built.
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
        [sys.executable, "-c", _START, json.dumps(sys.path), str(shard)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C comes to this process alone, which ends that one
    )
    try:
        said, complaint = process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode != 0:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise StoreError(f"the process that builds the graph ended with code {process.returncode}: {last}")
    return said.decode().strip() == _SAYS_THAT_IT_BUILT


def build(shard: str) -> None:
    """What that process does; it says whether there was anything to do."""
    import qdrant_edge

    opened = qdrant_edge.EdgeShard.load(shard)
    done = opened.optimize()
    opened.flush()
    opened.close()
    print(_SAYS_THAT_IT_BUILT if done else "")  # noqa: T201 - to the process that waits for it
