"""kill -9 at any moment, then running again, gives the store of an undisturbed run."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.ingestion import world

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[2]
KILLS = 30


def _write(folder: Path, version: int) -> None:
    """Thirty documents and a copy of one; a later version changes some, drops some and adds some."""
    docs = folder / "docs 文档"
    shutil.rmtree(docs, ignore_errors=True)
    docs.mkdir(parents=True)
    for i in range(version * 5, 30 + version * 5):
        body = "\n\n".join(
            f"Item {i}.{j} of edition {version if i % 3 == 0 else 0} is kept." for j in range(60)
        )
        (docs / f"{i}.md").write_text(f"# Document {i}\n\n{body}\n", encoding="utf-8")
    shutil.copy(docs / "10.md", docs / "copy of 10.md")


def _process(folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.ingestion", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def _undisturbed(folder: Path) -> float:
    """Run to the end and return the seconds it took."""
    child = _process(folder)
    started = time.monotonic()
    with child:
        assert child.wait() == 0
    return time.monotonic() - started


def _killed(folder: Path, after: float) -> bool:
    """Kill a run after some seconds; return False if it had ended before."""
    with _process(folder) as child:
        time.sleep(after)
        over = child.poll() is not None
        child.kill()
    return not over


def _content(folder: Path) -> tuple[list[str], dict[str, tuple[str, tuple[str, ...]]]]:
    """Return every point's id, repeats included, and the manifest's rows."""
    with world(folder) as here:
        rows = {row.source: (row.status, row.chunk_ids) for row in here.manifest.rows()}
        assert here.store.count() == len(here.stored())
        return sorted(chunk.id for chunk in here.store.chunks()), rows


@pytest.mark.slow
def test_a_killed_run_that_is_run_again_gives_the_store_of_an_undisturbed_one(tmp_path: Path) -> None:
    """Thirty kills at random moments: of first runs, of runs over changes, and of runs after kills."""
    here = tmp_path / "here"
    _write(here, version=0)
    seconds = _undisturbed(here)
    first = _content(here)
    shutil.copytree(here / "data", tmp_path / "old data")
    _write(here, version=1)
    _undisturbed(here)
    second = _content(here)
    assert first[0] != second[0]

    # a run that is over before its moment is no kill: on a machine that became quicker more trials are needed
    moments, hits, trial = random.Random(20240607), 0, 0
    while hits < KILLS or trial < KILLS:
        assert trial < 3 * KILLS, f"only {hits} kills met a running process"
        changed = trial % 2 == 1
        shutil.rmtree(here / "data")
        _write(here, version=1 if changed else 0)
        if changed:
            shutil.copytree(tmp_path / "old data", here / "data")
        for _ in range(1 + trial % 3):
            hits += _killed(here, moments.uniform(0, seconds))
        _undisturbed(here)
        assert _content(here) == (second if changed else first), f"trial {trial}"
        trial += 1


@pytest.mark.slow
def test_ctrl_c_leaves_things_whole(tmp_path: Path) -> None:
    """The run ends at once, with its parsers; running again gives the store of an undisturbed run."""
    here, calm = tmp_path / "here", tmp_path / "calm"
    _write(here, version=0)
    child = _process(here)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    with child:
        assert child.wait(timeout=60) != 0
    _undisturbed(here)
    interrupted = _content(here)
    shutil.move(here / "data", calm)
    _undisturbed(here)
    assert _content(here) == interrupted
