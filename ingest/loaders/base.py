"""What goes into a loader and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ingest.limits import Limits
from storage.errors import DocumentRefusedError
from storage.records import Heading, PageStart, Scalar


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its path as people know it, its bytes, and the limits that hold for it."""

    path: str
    data: bytes
    limits: Limits = field(default_factory=Limits)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which fields of a table or of JSON lines hold what, where each line is a document of its own."""

    text: str
    id: str | None = None
    title: str | None = None
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The text of a file and its landmarks; offsets count characters of `text`.

    `rows` says where a run of table rows starts: from that offset on, each line is the row that follows,
    beginning with the number given (rows count from 1 as spreadsheets do, the header included).
    """

    text: str
    title: str = ""
    structured: bool = False
    headings: tuple[Heading, ...] = ()
    pages: tuple[PageStart, ...] = ()
    rows: tuple[PageStart, ...] = ()
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


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


def refuse(source: Source, what: str, *, reason: str, way_out: str = "") -> DocumentRefusedError:
    """The error that says why this file cannot be read; its message names the file."""
    return DocumentRefusedError(f"{source.name}: {what}", reason=reason, way_out=way_out)
