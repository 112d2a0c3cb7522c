"""Models in the form that runs here, each made once on this machine and shared by all processes."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from filelock import FileLock

_log = logging.getLogger(__name__)


def usual_root() -> Path:
    """The folder of prepared models, in this user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("winnow", appauthor=False) / "models"


def prepared(root: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` in `root`, which `make` fills if it is not there yet.

    It appears whole or not at all: two processes that need it at once make it once, and one that is killed
    leaves a hidden folder, which the next one removes. Where `root` cannot be written the model is made for
    this process alone, which a warning says. Raises whatever `make` raises.
    """
    folder = root / name
    if folder.is_dir():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            if not folder.is_dir():
                _made(root, folder, make)
    except OSError as error:
        if os.access(root, os.W_OK) and not isinstance(error, PermissionError):
            raise
        _log.warning("%s cannot be written (%s): %s is prepared for this process alone", root, error, name)
        folder = _temporary() / name
        if not folder.is_dir():
            folder.mkdir()
            make(folder)
    return folder


def _made(root: Path, folder: Path, make: Callable[[Path], None]) -> None:
    for left in root.glob(f".{folder.name}.*.part"):  # of a process that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    _log.info("preparing the model %s, once on this machine", folder.name)
    if sys.stderr is not None and sys.stderr.isatty():  # whoever waits sees why
        sys.stderr.write(f"Preparing the model {folder.name}, once on this machine: some seconds\n")
    part = Path(mkdtemp(dir=root, prefix=f".{folder.name}.", suffix=".part"))
    try:
        make(part)
        part.chmod(0o755)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


@cache
def _temporary() -> Path:
    kept = TemporaryDirectory(prefix="winnow-models-")
    _KEPT.append(kept)
    return Path(kept.name)


_KEPT: list[TemporaryDirectory[str]] = []  # removed when the process ends
