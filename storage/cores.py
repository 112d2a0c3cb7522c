"""The number of processor cores that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores() -> int:
    """At least 1: the cores that the process is bound to, or fewer where a container or service limits it."""
    # macOS and Windows bind no process to cores
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(bound, quota(_CGROUPS, _MEMBERSHIP))))


def quota(cgroups: Path, membership: Path) -> float:
    """The cores' worth of time that Linux's control groups (version 2) allow; infinite without a limit.

    The limits of all groups above the process's own hold, too.
    """
    try:
        own = next(line for line in membership.read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return float("inf")
    group = cgroups / own.removeprefix("0::/")
    return min(
        _limit(place / "cpu.max") for place in (group, *group.parents) if place.is_relative_to(cgroups)
    )


def _limit(file: Path) -> float:
    """Cores from a line like `200000 100000`: microseconds allowed in each period."""
    try:
        allowed, period = file.read_text().split()
        return int(allowed) / int(period)
    except (OSError, ValueError):  # no such file, or `max`
        return float("inf")
