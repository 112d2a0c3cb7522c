"""A folder that winnow wrote, as one file to send."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile


def zipped(folder: Path) -> Path:
    """`folder`.zip beside the folder, with the files' paths from the folder."""
    target = folder.with_name(f"{folder.name}.zip")
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return target
