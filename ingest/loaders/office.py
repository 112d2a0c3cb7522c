"""What DOCX, PPTX and XLSX share: a ZIP archive that may be hostile, and core properties."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import Any

from ingest.loaders.base import Source, refuse
from ingest.loaders.text import one_line
from storage.records import Scalar

FEW_CHARACTERS = 200
_RATIO_FROM = 16 << 20


def checked(source: Source, part: str) -> io.BytesIO:
    """The bytes as a file, once the archive is known to be one, to hold `part`, and to be no bomb.

    Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large.
    """
    if source.data.startswith(b"\xd0\xcf\x11\xe0"):
        raise refuse(
            source,
            "it is encrypted, or in the Office format before 2007",
            reason="encrypted",
            way_out="save it anew",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise refuse(source, f"it is no Office file: {error}", reason="damaged") from error
    if not any(member.filename == part for member in members):
        raise refuse(source, f"it is a ZIP archive without {part}", reason="unsupported")
    bombs = [member for member in members if _is_bomb(member, source)]
    if any(member.filename.endswith((".xml", ".rels")) for member in bombs):
        raise refuse(
            source, f"{bombs[0].filename} unpacks to {bombs[0].file_size:,} bytes", reason="too-large"
        )
    unpacked = sum(member.file_size for member in members if member not in bombs)
    if unpacked > source.limits.unpacked_bytes:
        raise refuse(source, f"it unpacks to {unpacked:,} bytes", reason="too-large")
    return _without(source, bombs) if bombs else io.BytesIO(source.data)


def _is_bomb(member: zipfile.ZipInfo, source: Source) -> bool:
    return member.file_size > _RATIO_FROM and member.file_size > source.limits.unpacked_ratio * max(
        1, member.compress_size
    )


def _without(source: Source, bombs: list[zipfile.ZipInfo]) -> io.BytesIO:
    """The archive without parts that hold no text and would only fill the memory."""
    dropped = {member.filename for member in bombs}
    lighter = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source.data)) as old, zipfile.ZipFile(lighter, "w") as new:
        for member in old.infolist():
            if member.filename not in dropped:
                new.writestr(member.filename, old.read(member))
    lighter.seek(0)
    return lighter


def properties(core: Any) -> tuple[str, dict[str, Scalar]]:
    """Title, and author and date, from core properties."""
    metadata: dict[str, Scalar] = {}
    if author := one_line(core.author or ""):
        metadata["author"] = author
    if core.modified is not None:
        metadata["date"] = core.modified.date().isoformat()
    return one_line(core.title or ""), metadata


def little(text: str, pictures: int) -> Iterable[str]:
    """A warning where a document has next to no text."""
    if len(text.strip()) < FEW_CHARACTERS:
        shown = f" and {pictures} pictures" if pictures else ""
        yield f"little text: only {len(text.strip())} characters{shown}"
