"""Options of an ingest run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ingest.chunking.sizes import ChunkSizes
from ingest.loaders.base import Columns, Limits


def _half_of_the_cores() -> int:
    return max(1, (os.cpu_count() or 2) // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """`tokens`: store token vectors too. `columns`: each line of CSV, TSV and JSONL is a document.
    `workers`: parsing processes. `batch`: passages encoded together, across documents. `ocr`: pages of PDFs
    that are pictures are read (extra `[ocr]`), and a file then has ten times as long."""

    tokens: bool = True
    sizes: ChunkSizes = field(default_factory=ChunkSizes)
    limits: Limits = field(default_factory=Limits)
    columns: Columns | None = None
    workers: int = field(default_factory=_half_of_the_cores)
    batch: int = 128
    ocr: bool = False
