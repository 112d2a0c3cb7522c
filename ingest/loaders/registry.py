"""Finds the format of a file by its suffix, loads it, and checks it as every format requires."""

from __future__ import annotations

import gzip
import importlib
import io
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import cast

from ingest.loaders.base import Format, Limits, Loaded, Source
from storage.errors import DocumentRefusedError
from storage.reasons import Reason

Loader = Callable[[Source], Loaded]

_OFFICE = "application/vnd.openxmlformats-officedocument"
_TEXT = Format("text", "text/plain", "ingest.loaders.decoding:load", version=3)
_MARKDOWN = Format("markdown", "text/markdown", "ingest.loaders.markdown:load", version=5)
_HTML = Format("html", "text/html", "ingest.loaders.html.load:load", version=5)
_JSON_LINES = Format("jsonl", "application/jsonl", "ingest.loaders.json_values:load_lines", version=4)
_DOCX = Format("docx", f"{_OFFICE}.wordprocessingml.document", "ingest.loaders.office.docx:load", version=5)
_PPTX = Format("pptx", f"{_OFFICE}.presentationml.presentation", "ingest.loaders.office.pptx:load", version=5)
_XLSX = Format("xlsx", f"{_OFFICE}.spreadsheetml.sheet", "ingest.loaders.office.xlsx:load", version=5)
_PDF = Format("pdf", "application/pdf", "ingest.loaders.pdf.load:load", version=6)
_RTF = Format("rtf", "application/rtf", "ingest.loaders.rtf:load", version=2)
_EPUB = Format("epub", "application/epub+zip", "ingest.loaders.epub:load", version=2)
_ODT = Format("odt", "application/vnd.oasis.opendocument.text", "ingest.loaders.office.odt:load", version=3)
_EML = Format("eml", "message/rfc822", "ingest.loaders.mail:load", version=3)
_MSG = Format("msg", "application/vnd.ms-outlook", "ingest.loaders.mail:load_outlook", version=2)
# Source code is text; its language decides where it is cut (`ingest.chunking.code`).
_CODE = {
    suffix: Format("code", f"text/x-{language}", "ingest.loaders.decoding:load", version=2)
    for language, suffixes in {
        "python": (".py", ".pyi"),
        "javascript": (".js", ".mjs", ".cjs", ".jsx"),
        "typescript": (".ts", ".mts", ".cts"),
        "tsx": (".tsx",),
        "java": (".java",),
        "go": (".go",),
        "rust": (".rs",),
        "c": (".c", ".h"),
        "cpp": (".cc", ".cpp", ".cxx", ".hh", ".hpp"),
        "csharp": (".cs",),
        "ruby": (".rb",),
        "php": (".php",),
        "shell": (".sh", ".bash"),
        "sql": (".sql",),
    }.items()
    for suffix in suffixes
}

FORMATS: dict[str, Format] = {
    ".md": _MARKDOWN,
    ".markdown": _MARKDOWN,
    ".html": _HTML,
    ".htm": _HTML,
    ".xhtml": _HTML,
    ".pdf": _PDF,
    ".docx": _DOCX,
    ".docm": _DOCX,
    ".dotx": _DOCX,
    ".pptx": _PPTX,
    ".pptm": _PPTX,
    ".ppsx": _PPTX,
    ".xlsx": _XLSX,
    ".xlsm": _XLSX,
    ".xltx": _XLSX,
    ".odt": _ODT,
    ".rtf": _RTF,
    ".epub": _EPUB,
    ".eml": _EML,
    ".msg": _MSG,
    ".ipynb": Format("ipynb", "application/x-ipynb+json", "ingest.loaders.notebook:load", version=3),
    ".srt": Format("subtitles", "application/x-subrip", "ingest.loaders.subtitles:load", version=2),
    ".vtt": Format("subtitles", "text/vtt", "ingest.loaders.subtitles:load", version=2),
    ".txt": _TEXT,
    ".text": _TEXT,
    ".rst": _TEXT,
    ".adoc": _TEXT,
    ".csv": Format("csv", "text/csv", "ingest.loaders.table:load", version=4),
    ".tsv": Format("tsv", "text/tab-separated-values", "ingest.loaders.table:load_tabs", version=4),
    ".json": Format("json", "application/json", "ingest.loaders.json_values:load", version=4),
    ".jsonl": _JSON_LINES,
    ".ndjson": _JSON_LINES,
    **_CODE,
}
_TEXTUAL = {
    "text",
    "markdown",
    "html",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "code",
    "eml",
    "ipynb",
    "rtf",
    "subtitles",
}
# What the parts of a ZIP archive say about it.
_PARTS = (
    (b"word/", _DOCX),
    (b"ppt/", _PPTX),
    (b"xl/", _XLSX),
    (b"application/epub+zip", _EPUB),
    (b"opendocument.text", _ODT),
)
_SNIFFED = 4096
# The beginning of a page, perhaps after a declaration and comments; the fields of a mail that others lack.
_PAGE = re.compile(
    rb"(?:<\?xml[^>]*+>\s*+|<!--(?:(?!-->).)*+-->\s*+)*+<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL
)
_MAIL = re.compile(
    rb"^(From|To|Date|Subject|Received|Return-Path|Message-ID|MIME-Version|Content-Type|Reply-To): ",
    re.IGNORECASE | re.MULTILINE,
)
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


def format_in(data: bytes) -> Format | None:
    """The format that the content of a file shows, if its name shows none; None for text and all else."""
    head = data[:_SNIFFED].lstrip()
    if head.startswith(b"%PDF-"):
        return _PDF
    if head.startswith(b"{\\rtf"):
        return _RTF
    if _PAGE.match(head):
        return _HTML
    if len(_MAIL.findall(head.partition(b"\n\n")[0].replace(b"\r", b""))) > 2:
        return _EML
    if head.startswith(b"PK\x03\x04"):
        return next(
            (kind for part, kind in _PARTS if part in data[: 2 * _SNIFFED] + data[-4 * _SNIFFED :]), None
        )
    if head.startswith(b"\xd0\xcf\x11\xe0") and "__substg1.0_".encode("utf-16-le") in data:
        return _MSG
    return None


def is_readable(path: Path) -> bool:
    """True for a file without a suffix whose content is a known format or text."""
    try:
        data = path.read_bytes() if path.stat().st_size <= _SNIFFED * 1024 else b""
        head = data[:_SNIFFED] or path.open("rb").read(_SNIFFED)
    except OSError:
        return True  # the report says why it cannot be read
    if format_in(data or head) is not None or not head:
        return True
    return not any(head.startswith(magic) for magic, _ in _MAGIC) and (
        b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff"))
    )


def has_attachments(path: str) -> bool:
    """True for the name of a file that may bring other files with it."""
    kind = format_of(path)
    return kind is not None and kind.name in ("eml", "msg")


def mime_of(path: str) -> str:
    """The MIME type that the suffix of a path names; that of plain text for an unknown one."""
    return (format_of(path) or _TEXT).mime


def load(source: Source) -> Loaded:
    """Read one file. Raises DocumentRefusedError and nothing else.

    A file of an unknown suffix is read as what its content is, or as text if it is text.
    """
    check_size(len(source.data), source.limits)
    if not source.data:
        raise DocumentRefusedError("ingest.empty", Reason("ingest.no-bytes"))
    try:
        unpacked = _unpacked(source)
        named = format_of(source.path)
        kind = named or format_in(unpacked.data) or _TEXT
        loaded = _load(unpacked, kind)
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
    title = loaded.title or PurePosixPath(source.path).stem
    return replace(loaded, title=title, mime="" if named else kind.mime)


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
