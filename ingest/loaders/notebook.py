"""Jupyter notebooks (nbformat 3 and 4): text as it is, code in fences, what the code printed after it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode, inline_pictures
from ingest.loaders.html.load import load as load_html
from ingest.loaders.markdown import headings_of, with_rows
from ingest.loaders.text import clean, without_data
from storage.errors import DocumentRefusedError
from storage.reasons import Reason

# Of a cell's output, this many characters: what is longer is data.
_MOST_OUTPUT = 4000
# What terminals take for colours.
_COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")


def load(source: Source) -> Loaded:
    """Cells in order. Raises DocumentRefusedError (damaged)."""
    try:
        notebook = json.loads(decode(source.data).text)
        cells = list(_cells(notebook))
        language = _language(notebook)
        blocks = [block for cell in cells for block in _blocks(cell, language)]
    except (ValueError, TypeError, AttributeError) as error:
        raise DocumentRefusedError("ingest.damaged", Reason("ingest.bad-json", error=str(error))) from error
    text, pictures = without_data(clean("\n\n".join(block for block in blocks if block.strip())))
    text = with_rows(text)
    headings = headings_of(text)
    cut = sum(len(output) > _MOST_OUTPUT for cell in cells for output in _outputs(cell))
    return Loaded(
        text=text,
        title=next((heading.title for heading in headings), ""),
        structured=True,
        headings=headings,
        metadata={"cells": len(cells), **({"language": language} if language else {})},
        warnings=(
            *inline_pictures(pictures),
            *([Reason("ingest.long-outputs", n=cut, limit=_MOST_OUTPUT)] * bool(cut)),
        ),
    )


def _cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for sheet in notebook.get("worksheets", [notebook]):  # version 3 has sheets of cells
        yield from sheet["cells"] if "worksheets" not in notebook else sheet.get("cells", [])


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata", {})
    return str(metadata.get("language_info", metadata.get("kernelspec", {})).get("name", ""))


def _blocks(cell: dict[str, Any], language: str) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input", "")))
    if cell.get("cell_type") == "heading":
        yield f"{'#' * int(cell.get('level', 1))} {source}"
    elif cell.get("cell_type") != "code":
        yield source.strip("\n")
    else:
        if source.strip():
            yield _fenced(source, language)
        for output in _outputs(cell):
            yield _fenced(output[:_MOST_OUTPUT], "")


def _fenced(text: str, language: str) -> str:
    fence = "```" if "```" not in text else "~~~~~~"
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def _outputs(cell: dict[str, Any]) -> Iterator[str]:
    """The text that a cell printed or returned; pictures have none."""
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        text = output.get(
            "text", data.get("text/plain", data.get("text/markdown", data.get("text/latex", "")))
        )
        if output.get("output_type") in ("error", "pyerr"):
            text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
        if not text and "text/html" in data:
            text = load_html(Source("output.html", _joined(data["text/html"]).encode())).text
        if words := _COLOUR.sub("", _joined(text)):
            yield words


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
