"""Writes the table of docs/licences.md: the licence of every distribution in requirements.lock.

    python .github/release/licences.py requirements.lock        # where they are installed

Their metadata says it in one of three ways: an SPDX expression, a classifier, or free text.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

_CLASSIFIER = "License :: "


def licence_of(name: str) -> str:
    """The licence that a distribution's metadata names; empty where it names none."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return ""
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = [one for one in told.get_all("Classifier", []) if one.startswith(_CLASSIFIER)]
    if classifiers:
        return ", ".join(one.rpartition(" :: ")[2] for one in classifiers)
    text = str(told.get("License") or "").strip()
    return text.partition("\n")[0][:60]


def rows(lock: str) -> list[str]:
    """A line of the table for every line of the lock."""
    named = [line.split("==") for line in lock.splitlines() if "==" in line and not line.startswith("#")]
    return [f"| {name} | {rest.split()[0]} | {licence_of(name) or 'not stated'} |" for name, rest in named]


if __name__ == "__main__":
    lines = rows(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write("\n".join(["| distribution | version | licence |", "|---|---|---|", *lines]) + "\n")
