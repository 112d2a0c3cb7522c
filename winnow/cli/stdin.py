"""Standard input where a command says `-`: a question, texts, or a document."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import BadInputError
from winnow.cli.terminal import note

if TYPE_CHECKING:
    from winnow.app.settings import Settings

DASH = "-"
# What a document begins with that is no text: a name has to say how to read it.
_BINARY = (b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def question_of(given: str) -> str:
    """Return the question, which `-` reads from standard input. Raises BadInputError."""
    if given != DASH:
        return given
    try:
        text = _read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"standard input cannot be read: {error}", way_out="Send UTF-8.") from error
    if not text.strip():
        raise BadInputError("standard input holds no question", way_out="Pipe one: echo '…' | winnow ask -")
    return text.strip()


def kept_document(settings: Settings, name: str | None) -> Path:
    """Keep standard input as a file of the collection's uploads, for ingestion, and return its path.

    `name` is what to call it: its suffix says how it is read, and the same name again takes its place.
    Without one it is plain text under a name of its content. Raises BadInputError, StoreError.
    """
    from winnow.server.uploads import Upload, UploadArea

    content = _read()
    if not content.strip():
        raise BadInputError("standard input is empty", way_out="Pipe a document: winnow ingest - < FILE")
    if name is None and content.startswith(_BINARY):
        raise BadInputError("standard input is no text", way_out="Name it: winnow ingest - --name paper.pdf")
    name = name or f"standard-input-{hashlib.sha256(content).hexdigest()[:12]}.txt"
    settings.make_data_dir()
    area = UploadArea(settings.uploads_dir)
    return area.keep(settings.collection, [Upload(name, io.BytesIO(content))])[0]


def replaced(
    paths: Sequence[str], settings: Settings, name: str | None
) -> tuple[list[str | Path], Path | None]:
    """Return the paths with a file in place of `-`, and that file. Raises BadInputError."""
    if DASH not in paths:
        if name is not None:
            raise BadInputError("--name is for standard input", way_out="winnow ingest - --name notes.md")
        return [*paths], None
    document = kept_document(settings, name)
    return [document if path == DASH else path for path in paths], document


def _read() -> bytes:
    if sys.stdin.isatty():
        note("reading standard input; Ctrl-D ends it")
    return sys.stdin.buffer.read()
