"""RTF through striprtf: paragraphs, tables by row, and what hangs on paragraphs after them."""

from __future__ import annotations

import re

from striprtf.striprtf import rtf_to_text

from ingest.loaders.base import Loaded, Source
from ingest.loaders.rtf_groups import BAR, rewritten
from ingest.loaders.tables import rows_of, table_lines
from ingest.loaders.text import TextBuilder, clean, one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason

_PAGE = re.compile(r"\\ansicpg(\d+)")
_INFO = re.compile(r"\{\\(title|author)\s++([^{}\\]*+)\}")


def load(source: Source) -> Loaded:
    """Raises DocumentRefusedError (damaged, unsupported)."""
    if not source.data.lstrip().startswith(b"{\\rtf"):
        raise DocumentRefusedError("ingest.damaged", Reason("ingest.no-rtf-header"))
    # RTF is ASCII; bytes beyond it are characters of its code page
    raw = source.data.decode("latin-1")
    page = _PAGE.search(raw)
    encoding = f"cp{page[1]}" if page and page[1] not in ("0", "10000") else "cp1252"
    readable, hidden = rewritten(raw)
    text = clean(rtf_to_text(_escaped(readable), encoding=encoding, errors="replace"))
    info = {name: one_line(value) for name, value in _INFO.findall(raw[:20_000])}
    builder = TextBuilder()
    table: list[list[str]] = []
    for line in (*text.split("\n"), ""):
        # striprtf writes a table's row as cells that end in a bar
        if line.endswith("|"):
            table.append([cell.replace(BAR, "|") for cell in line[:-1].split("|")])
            continue
        builder.table(table_lines(rows_of(table)))
        table = []
        builder.block(line.replace(BAR, "|"))
    broken = builder.text.count("\ufffd")
    return Loaded(
        text=builder.text,
        title=info.get("title", ""),
        metadata={"author": info["author"]} if info.get("author") else {},
        warnings=(
            *([Reason("ingest.replaced-characters", n=broken, encoding=encoding)] * bool(broken)),
            *([Reason("ingest.hidden-text", n=hidden)] * bool(hidden)),
        ),
    )


def _escaped(raw: str) -> str:
    """Bytes beyond ASCII as RTF itself writes them, so that those of one character stay together."""
    return re.sub(r"[\x80-\xff]", lambda found: f"\\'{ord(found[0]):02x}", raw)
