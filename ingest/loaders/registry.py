"""Finds the format of a file by its suffix, loads it, and checks it as every format requires."""

from __future__ import annotations

import gzip
import importlib
import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import cast

from ingest.loaders.base import Format, Limits, Loaded, Source
from storage.errors import DocumentRefusedError
from storage.reasons import Reason

Loader = Callable[[Source], Loaded]

_OFFICE = "application/vnd.openxmlformats-officedocument"
_TEXT = Format("text", "text/plain", "ingest.loaders.decoding:load")
_MARKDOWN = Format("markdown", "text/markdown", "ingest.loaders.markdown:load", version=2)
_HTML = Format("html", "text/html", "ingest.loaders.html:load", version=2)
_JSON_LINES = Format("jsonl", "application/jsonl", "ingest.loaders.json_values:load_lines")

FORMATS: dict[str, Format] = {
    ".md": _MARKDOWN,
    ".markdown": _MARKDOWN,
    ".html": _HTML,
    ".htm": _HTML,
    ".xhtml": _HTML,
    ".pdf": Format("pdf", "application/pdf", "ingest.loaders.pdf:load", version=2),
    ".docx": Format("docx", f"{_OFFICE}.wordprocessingml.document", "ingest.loaders.docx:load", version=2),
    ".pptx": Format("pptx", f"{_OFFICE}.presentationml.presentation", "ingest.loaders.pptx:load", version=2),
    ".xlsx": Format("xlsx", f"{_OFFICE}.spreadsheetml.sheet", "ingest.loaders.xlsx:load", version=2),
    ".txt": _TEXT,
    ".text": _TEXT,
    ".csv": Format("csv", "text/csv", "ingest.loaders.table:load"),
    ".tsv": Format("tsv", "text/tab-separated-values", "ingest.loaders.table:load_tabs"),
    ".json": Format("json", "application/json", "ingest.loaders.json_values:load"),
    ".jsonl": _JSON_LINES,
    ".ndjson": _JSON_LINES,
}
_TEXTUAL = {"text", "markdown", "html", "csv", "tsv", "json", "jsonl"}
# The first bytes of formats that are not text.
_MAGIC = (
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "ZIP (DOCX, XLSX, PPTX, ...)"),
    (b"\xd0\xcf\x11\xe0", "OLE2 (DOC, XLS, PPT, encrypted DOCX, ...)"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"\x7fELF", "ELF"),
    (b"MZ\x90\x00", "EXE"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"7z\xbc\xaf", "7z"),
    (b"Rar!", "RAR"),
)


def _suffixes(path: str) -> tuple[str, bool]:
    name = PurePosixPath(path.lower())
    return (PurePosixPath(name.stem).suffix, True) if name.suffix == ".gz" else (name.suffix, False)


def format_of(path: str) -> Format | None:
    """The format that the suffix of a path names (with `.gz` only a textual one), otherwise None."""
    suffix, packed = _suffixes(path)
    found = FORMATS.get(suffix)
    return None if found is None or (packed and found.name not in _TEXTUAL) else found


def supported(path: str) -> bool:
    return format_of(path) is not None


def mime_of(path: str) -> str:
    """The MIME type that the suffix of a path names; that of plain text for an unknown one."""
    return (format_of(path) or _TEXT).mime


def load(source: Source) -> Loaded:
    """Read one file. Raises DocumentRefusedError and nothing else.

    A file of an unknown suffix is read as text if it is text.
    """
    check_size(len(source.data), source.limits)
    if not source.data:
        raise DocumentRefusedError("ingest.empty", Reason("ingest.no-bytes"))
    try:
        loaded = _load(_unpacked(source), format_of(source.path) or _TEXT)
    except DocumentRefusedError:
        raise
    except RecursionError as error:
        raise DocumentRefusedError("ingest.too-deep", Reason("ingest.nested-without-end")) from error
    except MemoryError as error:
        raise DocumentRefusedError("ingest.too-large", Reason("ingest.too-much-memory")) from error
    except Exception as error:
        reason = Reason("ingest.parser-failed", error=f"{type(error).__name__}: {error}")
        raise DocumentRefusedError("ingest.damaged", reason) from error
    if not loaded.text.strip():
        raise DocumentRefusedError("ingest.empty", Reason("ingest.nothing-to-read"))
    return replace(loaded, title=loaded.title or PurePosixPath(source.path).stem)


def check_size(size: int, limits: Limits) -> None:
    """Raises DocumentRefusedError for a file of more bytes than the limits allow."""
    if size > limits.file_bytes:
        reason = Reason("ingest.too-many-bytes", size=size, limit=limits.file_bytes)
        raise DocumentRefusedError("ingest.too-large", reason)


def _load(source: Source, kind: Format) -> Loaded:
    if kind.name in _TEXTUAL:
        for magic, content in _MAGIC:
            if source.data.startswith(magic):
                reason = Reason("ingest.other-content", suffix=kind.name, content=content)
                raise DocumentRefusedError("ingest.unsupported", reason)
    module, function = kind.loader.split(":")
    loader = cast(Loader, getattr(importlib.import_module(module), function))
    return loader(source)


def _unpacked(source: Source) -> Source:
    if not _suffixes(source.path)[1]:
        return source
    limit = source.limits.unpacked(len(source.data))
    try:
        with gzip.open(io.BytesIO(source.data)) as stream:
            data = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged_gzip(error) from error
    if len(data) > limit:
        raise DocumentRefusedError("ingest.too-large", Reason("ingest.unpacks-to-more", limit=limit))
    return replace(source, path=source.path[: -len(".gz")], data=data)


def damaged_gzip(error: Exception) -> DocumentRefusedError:
    """The refusal of a file whose compressed data cannot be read."""
    return DocumentRefusedError("ingest.damaged", Reason("ingest.gzip-damaged", error=str(error)))
