"""Inputs and outputs of loaders, and the limits within which they read."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from storage.memory import available_memory
from storage.records import Heading, Meta, PageStart

MIB = 1 << 20
_BY_LINE = " by line: "
_NAME = r'("(?:[^"\\]|\\.)*"|[^",]+)'
_COLUMNS = re.compile(rf"{_BY_LINE}{_NAME}, {_NAME}, {_NAME}, (\(.*\)); ")
# As written before names were quoted; of a name with commas only the first part is read.
_UNQUOTED = re.compile(rf"{_BY_LINE}(.+), (.+), (.+), (\(.*\)); ")


def worker_memory(available: int | None) -> int:
    """The address space of a process that parses: half of the machine's memory, from 1 to 4 GiB."""
    return 4096 * MIB if available is None else max(1024 * MIB, min(4096 * MIB, available // 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits for hostile files, which are refused beyond them: in bytes and seconds of wall clock.

    `seconds` is for a whole file, or for one batch of a file of records. `unpacked_bytes` is the most that a
    compressed file may unpack to, `unpacked_ratio` the same as a multiple of its size beyond 16 MiB.
    """

    file_bytes: int = 256 * MIB
    pages: int = 10_000
    unpacked_bytes: int = 512 * MIB
    unpacked_ratio: int = 100
    nesting: int = 200
    record_bytes: int = 16 * MIB
    seconds: float = 120.0
    worker_bytes: int = field(default_factory=lambda: worker_memory(available_memory()))

    def unpacked(self, packed: int) -> int:
        """The most bytes that `packed` compressed bytes may unpack to."""
        return min(self.unpacked_bytes, max(16 * MIB, self.unpacked_ratio * packed))


@dataclass(frozen=True, slots=True)
class Source:
    """A file to load: its path as people know it, its bytes, and the limits that apply.

    `ocr`: pages that are pictures are read, too.
    """

    path: str
    data: bytes
    limits: Limits = field(default_factory=Limits)
    ocr: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The fields of a table or of JSON lines, if each line is to be a document."""

    text: str
    id: str | None = None
    title: str | None = None
    metadata: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The columns as part of a parser's name, which `read` reads back."""
        return f"{_BY_LINE}{_quoted(self.text)}, {_quoted(self.id)}, {_quoted(self.title)}, {self.metadata}"

    @classmethod
    def read(cls, parser: str) -> Self | None:
        """The columns in a parser's name; None if it has none."""
        found = _COLUMNS.search(parser) or _UNQUOTED.search(parser)
        if found is None:
            return None
        text, identifier, title, metadata = found.groups()
        return cls(
            text=_unquoted(text) or "None",
            id=_unquoted(identifier),
            title=_unquoted(title),
            metadata=ast.literal_eval(metadata),
        )


def _quoted(name: str | None) -> str:
    """A name, in JSON's quotes if it would otherwise be ambiguous."""
    if name is None:
        return "None"
    odd = not name or name == "None" or "," in name or '"' in name or not name.isprintable()
    return json.dumps(name) if odd else name


def _unquoted(text: str) -> str | None:
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        return str(json.loads(text))
    return None if text == "None" else text


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file within a file, such as one that a mail brings."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The text of a file and its landmarks; offsets count characters of `text`.

    `mime` is set where the content decided on the format, not the name. `attachments` become documents of
    their own.

    `rows` are the starts of runs of table rows: from that offset on, each line is one row, the first of them
    with the given number (rows count from 1, the header included, as in spreadsheets).
    """

    text: str
    title: str = ""
    structured: bool = False
    headings: tuple[Heading, ...] = ()
    pages: tuple[PageStart, ...] = ()
    rows: tuple[PageStart, ...] = ()
    metadata: Mapping[str, Meta] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    mime: str = ""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """A format: `loader` is "module:function", `version` grows when it reads the same bytes differently."""

    name: str
    mime: str
    loader: str
    version: int = 1

    @property
    def fingerprint(self) -> str:
        return f"{self.name}/{self.version}"
