"""Parts shared by DOCX, PPTX and XLSX: a ZIP archive that may be hostile, refusals, core properties."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from ingest.loaders.base import Source
from ingest.loaders.text import one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import Scalar

FEW_CHARACTERS = 200
_RATIO_FROM = 16 << 20


def checked(source: Source, part: str) -> io.BytesIO:
    """The bytes as a file, once they are known to be an archive that holds `part` and is no bomb.

    Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large.
    """
    if source.data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DocumentRefusedError("ingest.encrypted", Reason("ingest.old-office"))
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        reason = Reason("ingest.not-an-archive", error=str(error))
        raise DocumentRefusedError("ingest.damaged", reason) from error
    if not any(member.filename == part for member in members):
        raise DocumentRefusedError("ingest.unsupported", Reason("ingest.part-missing", part=part))
    bombs = [member for member in members if _is_bomb(member, source)]
    if any(member.filename.endswith((".xml", ".rels")) for member in bombs):
        reason = Reason("ingest.part-unpacks-to", part=bombs[0].filename, size=bombs[0].file_size)
        raise DocumentRefusedError("ingest.too-large", reason)
    unpacked = sum(member.file_size for member in members if member not in bombs)
    if unpacked > source.limits.unpacked_bytes:
        raise DocumentRefusedError("ingest.too-large", Reason("ingest.unpacks-to", size=unpacked))
    return _without(source, bombs) if bombs else io.BytesIO(source.data)


def _is_bomb(member: zipfile.ZipInfo, source: Source) -> bool:
    return member.file_size > _RATIO_FROM and member.file_size > source.limits.unpacked_ratio * max(
        1, member.compress_size
    )


def _without(source: Source, bombs: list[zipfile.ZipInfo]) -> io.BytesIO:
    """The archive without the given parts, which hold no text and would fill the memory."""
    dropped = {member.filename for member in bombs}
    lighter = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source.data)) as old, zipfile.ZipFile(lighter, "w") as new:
        for member in old.infolist():
            if member.filename not in dropped:
                new.writestr(member.filename, old.read(member))
    lighter.seek(0)
    return lighter


def properties(core: Any) -> tuple[str, dict[str, Scalar]]:
    """The title, and a dict of author and date, from core properties."""
    metadata: dict[str, Scalar] = {}
    if author := one_line(core.author or ""):
        metadata["author"] = author
    if core.modified is not None:
        metadata["date"] = core.modified.date().isoformat()
    return one_line(core.title or ""), metadata


def damaged(library: str, error: Exception) -> DocumentRefusedError:
    """The refusal of a file over which a library raised an error."""
    return DocumentRefusedError(
        "ingest.damaged", Reason("ingest.reader-failed", library=library, error=str(error))
    )


def without_text(pictures: int) -> DocumentRefusedError:
    """The refusal of a document that has pictures at most."""
    if not pictures:
        return DocumentRefusedError("ingest.empty", Reason("ingest.nothing-to-read"))
    return DocumentRefusedError("ingest.no-text", Reason("ingest.only-pictures", pictures=pictures))


def little_text(text: str, pictures: int) -> tuple[Reason, ...]:
    """A warning where a document has next to no text."""
    n = len(text.strip())
    if n >= FEW_CHARACTERS:
        return ()
    if not pictures:
        return (Reason("ingest.little-text", n=n),)
    return (Reason("ingest.little-text-and-pictures", n=n, pictures=pictures),)
