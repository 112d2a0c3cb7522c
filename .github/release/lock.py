"""Writes requirements.lock: every distribution of a server on Linux x86-64, by version and SHA-256.

    python .github/release/lock.py > requirements.lock     # with the Python and on the platform to be locked
    pip install 'torch==…' --index-url https://download.pytorch.org/whl/cpu
    pip install --no-deps --require-hashes -r requirements.lock && pip install --no-deps .

pip resolves what `pyproject.toml` asks for and says which files it would install; nothing is installed. torch
and what only its builds for GPUs need is left out: the first line of the lock tells the version to install
before.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from typing import Any

EXTRAS = "server,mcp,otel"
# torch comes from its own index, where the builds for CPUs are; these are parts of those for GPUs.
APART = re.compile(r"torch|triton|nvidia-.*|cuda-.*")


def resolved(extras: str) -> list[dict[str, Any]]:
    """Return what pip would install for winnow with these extras, by name."""
    words = ["install", "--dry-run", "--quiet", "--ignore-installed", "--report", "-", f".[{extras}]"]
    told = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(told.stdout)["install"]
    return sorted(found, key=lambda one: _name(one))


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The lines of the lock."""
    torch = next(one["metadata"]["version"] for one in found if _name(one) == "torch")
    own = [one for one in found if "archive_info" in one["download_info"] and not APART.fullmatch(_name(one))]
    machine = f"Linux {platform.machine()}, CPython {sys.version_info.major}.{sys.version_info.minor}"
    return [
        f"# winnow[{EXTRAS}] for {machine}; before it: torch=={torch} from the index for CPUs.",
        "# Written by .github/release/lock.py; install with --no-deps --require-hashes.",
        *(
            f"{_name(one)}=={one['metadata']['version']} "
            f"--hash=sha256:{one['download_info']['archive_info']['hashes']['sha256']}"
            for one in own
        ),
    ]


def _name(one: dict[str, Any]) -> str:
    return re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower()


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(resolved(EXTRAS))) + "\n")
