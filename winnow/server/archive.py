"""Zips a folder for download."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile


def zipped(folder: Path) -> Path:
    """Write `folder`.zip next to the folder; paths in it are relative to the folder."""
    target = folder.with_name(f"{folder.name}.zip")
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return target
