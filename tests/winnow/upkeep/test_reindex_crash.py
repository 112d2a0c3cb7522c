"""kill -9 during a re-index: the old or the new collection is in use, whole; a second run finishes."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.reindexing import content, encoders, pipeline, write

ROOT = Path(__file__).resolve().parents[3]
KILLS = 6


def _process(data: Path, encoder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.reindexing", str(data), str(encoder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def _undisturbed(data: Path, encoder: Path) -> float:
    child = _process(data, encoder)
    started = time.monotonic()
    with child:
        assert child.wait() == 0
    return time.monotonic() - started


def _killed(data: Path, encoder: Path, after: float) -> bool:
    """Kill a run after some seconds; return False if it had ended before."""
    with _process(data, encoder) as child:
        time.sleep(after)
        over = child.poll() is not None
        child.kill()
    return not over


@pytest.mark.slow
def test_a_reindex_that_is_killed_leaves_the_old_or_the_new_and_can_be_run_again(tmp_path: Path) -> None:
    """Kills at random moments leave the old or new collection; one file is gone, to be carried over."""
    one, other = encoders(tmp_path)
    docs, start, here = tmp_path / "docs", tmp_path / "start", tmp_path / "here"
    write(docs, *range(20))
    with pipeline(start, one) as rag:
        rag.ingest(docs)
    (docs / "7.md").unlink()
    old = content(start, one)
    shutil.copytree(start, here)
    seconds = _undisturbed(here, other)
    new = content(here, other)
    assert old[2] != new[2]

    moments, hits = random.Random(20261122), 0
    for trial in range(KILLS):
        shutil.rmtree(here)
        shutil.copytree(start, here)
        for _ in range(1 + trial % 2):
            hits += _killed(here, other, moments.uniform(0, seconds))
            fits = one if content(here, one) == old else other
            assert content(here, fits) == (old if fits is one else new), f"trial {trial}"
            with pipeline(here, fits) as rag:
                assert rag.search("The lazy dog jumps").candidates
        _undisturbed(here, other)
        assert content(here, other) == new, f"trial {trial}"
        with pipeline(here, other) as rag:
            assert rag.wiring.stores.leftovers() == {}
            assert len(rag.wiring.manifest().generations()) == 1
    assert hits >= KILLS // 2, "too few kills met a running process"
