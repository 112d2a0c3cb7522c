"""The upload area: the only folder that a request writes to, under file names that are made safe.

Nothing is unpacked there; office documents, which are archives, are read in memory by ingestion.
"""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from storage.errors import BadInputError, StoreError
from storage.private_files import make_private_folder, private
from storage.qdrant.contract import checked_name

_LONGEST = 200  # bytes; file systems allow 255, and a suffix is added
_LONGEST_SUFFIX = 20
# Special to some file system or shell.
_SPECIAL = str.maketrans(dict.fromkeys('<>:"|?*', "_"))


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: the name that the client gave, and its bytes."""

    name: str
    content: BinaryIO


class UploadArea:
    """One folder per collection below `root`. A file replaces an earlier one of the same name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, collection: str, uploads: Sequence[Upload]) -> list[Path]:
        """Write the files. Raises BadInputError for unusable names, StoreError for a full disk."""
        names = [safe_name(upload.name) for upload in uploads]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadInputError(
                f"two files are named {twice[0]!r}", way_out="Upload them one after the other."
            )
        folder = self._root.absolute() / checked_name(collection)
        try:
            make_private_folder(self._root.absolute())
            make_private_folder(folder)
            return [
                _written(folder / name, upload.content) for name, upload in zip(names, uploads, strict=True)
            ]
        except OSError as error:
            raise StoreError(
                f"the upload cannot be saved: {error.strerror}", way_out="Is the server's disk full?"
            ) from error

    def holds(self, source: str) -> bool:
        """Tell whether a document was uploaded."""
        return Path(source).is_relative_to(self._root.absolute())

    def forget(self, source: str) -> None:
        """Delete a document's file where it was uploaded; nobody else would."""
        if self.holds(source):
            Path(source).unlink(missing_ok=True)


def safe_name(given: str) -> str:
    """Return the last part of a name, without characters special in paths. Raises BadInputError."""
    last = unicodedata.normalize("NFC", given).replace("\\", "/").rpartition("/")[2]
    kept = "".join(character for character in last if unicodedata.category(character)[0] != "C")
    name = kept.translate(_SPECIAL).strip().lstrip(".~ ").rstrip(". ")
    if not name:
        raise BadInputError(f"{given!r} is not a file name", way_out="Name it, with a suffix such as .pdf.")
    return _shortened(name)


def _shortened(name: str) -> str:
    """Shorten a name but keep its suffix, which says how to read the file."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    room = _LONGEST - len((dot + suffix).encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + dot + suffix


def _written(target: Path, content: BinaryIO) -> Path:
    """Write the file whole or not at all; a link under its name is replaced, not followed."""
    part = target.with_name(f".{token_hex(8)}.part")
    try:
        with open(part, "xb", opener=private) as file:
            shutil.copyfileobj(content, file)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target
