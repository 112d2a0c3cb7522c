"""Suffix → format, and the checks that hold for every format."""

from __future__ import annotations

import gzip
import importlib
import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import cast

from ingest.loaders.base import Format, Loaded, Source, refuse
from storage.errors import DocumentRefusedError

Loader = Callable[[Source], Loaded]

_OFFICE = "application/vnd.openxmlformats-officedocument"
_TEXT = Format("text", "text/plain", "ingest.loaders.plain:load")
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
# What a file begins with, whatever its name says.
_MAGIC = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive (DOCX, XLSX, PPTX, ...)"),
    (b"\xd0\xcf\x11\xe0", "an old Office file (or an encrypted one)"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
)


def _suffixes(path: str) -> tuple[str, bool]:
    name = PurePosixPath(path.lower())
    return (PurePosixPath(name.stem).suffix, True) if name.suffix == ".gz" else (name.suffix, False)


def format_of(path: str) -> Format | None:
    """The format that the suffix of a path names (`.gz` only around a format of text), else None."""
    suffix, packed = _suffixes(path)
    found = FORMATS.get(suffix)
    return None if found is None or (packed and found.name not in _TEXTUAL) else found


def supported(path: str) -> bool:
    return format_of(path) is not None


def load(source: Source) -> Loaded:
    """Read one file. Raises DocumentRefusedError, whose message names the file, and nothing else.

    A file whose suffix says nothing is read as text if it is text.
    """
    if len(source.data) > source.limits.file_bytes:
        raise too_large(source.name, len(source.data), source.limits.file_bytes)
    if not source.data:
        raise refuse(source, "the file is empty (0 bytes)", reason="empty")
    try:
        loaded = _load(_unpacked(source), format_of(source.path) or _TEXT)
    except DocumentRefusedError as error:
        raise _named(source, error) from error
    except RecursionError as error:
        raise refuse(source, "it is nested too deeply", reason="too-deep") from error
    except MemoryError as error:
        raise refuse(source, "reading it takes more memory than is allowed", reason="too-large") from error
    except Exception as error:
        raise refuse(
            source, f"the parser failed: {type(error).__name__}: {error}", reason="damaged"
        ) from error
    if not loaded.text.strip():
        raise refuse(source, "there is no text in it", reason="empty")
    return replace(loaded, title=loaded.title or PurePosixPath(source.name).stem)


def too_large(name: str, size: int, limit: int) -> DocumentRefusedError:
    return DocumentRefusedError(
        f"{name}: {size:,} bytes; the limit is {limit:,}",
        reason="too-large",
        way_out="split it, or raise the limit",
    )


def _load(source: Source, kind: Format) -> Loaded:
    if kind.name in _TEXTUAL:
        for magic, what in _MAGIC:
            if source.data.startswith(magic):
                raise refuse(source, f"its suffix says {kind.name}, but it is {what}", reason="unsupported")
    module, function = kind.loader.split(":")
    loader = cast(Loader, getattr(importlib.import_module(module), function))
    return loader(source)


def _named(source: Source, error: DocumentRefusedError) -> DocumentRefusedError:
    message = str(error)
    if message.startswith(source.name):
        return error
    return refuse(source, message, reason=error.reason, way_out=error.way_out)


def _unpacked(source: Source) -> Source:
    if not _suffixes(source.path)[1]:
        return source
    limit = source.limits.unpacked(len(source.data))
    try:
        with gzip.open(io.BytesIO(source.data)) as stream:
            data = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise refuse(source, f"the gzip data is damaged: {error}", reason="damaged") from error
    if len(data) > limit:
        raise refuse(source, f"it unpacks to more than {limit:,} bytes", reason="too-large")
    return replace(source, path=source.path[: -len(".gz")], data=data)
