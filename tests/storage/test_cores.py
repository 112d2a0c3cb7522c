"""The cores that a process may use: its own binding, and the limits of control groups."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.cores import available_cores, quota


def test_at_least_one_and_no_more_than_there_are() -> None:
    """The number is usable for a pool of threads."""
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_a_bound_process_uses_its_cores_alone() -> None:
    """A process that is bound to one core has one, however many the machine has."""
    code = (
        "import os; from storage.cores import available_cores; "
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(available_cores())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({}, math.inf),
        ({"pod/box": "max 100000"}, math.inf),
        ({"pod/box": "150000 100000"}, 1.5),
        ({"pod/box": "max 100000", "pod": "200000 100000"}, 2),
        ({"": "50000 100000", "pod": "200000 100000"}, 0.5),
    ],
)
def test_the_tightest_limit_holds(tmp_path: Path, limits: dict[str, str], cores: float) -> None:
    """A group is limited by all the groups that it lies in."""
    groups, membership = tmp_path / "groups", tmp_path / "cgroup"
    (groups / "pod/box").mkdir(parents=True)
    for group, limit in limits.items():
        (groups / group / "cpu.max").write_text(limit)
    membership.write_text("0::/pod/box\n")
    assert quota(groups, membership) == cores


@pytest.mark.parametrize("membership", [None, "12:cpu:/old\n"])
def test_without_control_groups_nothing_limits(tmp_path: Path, membership: str | None) -> None:
    """No such file, or the older version of control groups."""
    if membership is not None:
        (tmp_path / "cgroup").write_text(membership)
    assert quota(tmp_path, tmp_path / "cgroup") == math.inf
