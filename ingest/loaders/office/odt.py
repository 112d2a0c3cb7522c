"""ODT (OpenDocument text), read from its XML by lxml: headings, lists, tables by row, notes, comments."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lxml import etree

from ingest.loaders.base import Loaded, Source
from ingest.loaders.metadata import language
from ingest.loaders.office import openxml
from ingest.loaders.office.odt_styles import Styles
from ingest.loaders.tables import Grid, table_lines
from ingest.loaders.text import TextBuilder, one_line, superscript
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import Meta

# Deleted text, and what is written elsewhere.
_DROPPED = ("tracked-changes", "note-citation", "annotation-end", "sequence-decls", "forms")
_HIGHEST = 1000


def load(source: Source) -> Loaded:
    """Raises DocumentRefusedError: damaged, unsupported, encrypted, too-large."""
    try:
        with openxml.opened(source) as archive:
            if "content.xml" not in archive.namelist():
                raise DocumentRefusedError(
                    "ingest.unsupported", Reason("ingest.part-missing", part="content.xml")
                )
            if b"manifest:encryption-data" in _part(archive, "META-INF/manifest.xml"):
                raise DocumentRefusedError("ingest.encrypted", Reason("ingest.password"))
            content = openxml.parsed(archive.read("content.xml"))
            common = _part(archive, "styles.xml")
            styles = [content, *([openxml.parsed(common)] if common else [])]
            body, meta = content.find("{*}body/{*}text"), _part(archive, "meta.xml")
            objects = {
                name.removesuffix("/content.xml"): openxml.parsed(archive.read(name))
                for name in archive.namelist()
                if name.endswith("/content.xml")
            }
    except (etree.XMLSyntaxError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise openxml.damaged("lxml", error) from error
    if body is None:
        raise DocumentRefusedError("ingest.unsupported", Reason("ingest.part-missing", part="office:text"))
    reading = _OdtBody(Styles(styles), objects)
    reading.blocks(body, "")
    reading.margins(styles)
    builder = reading.builder
    title, facts = _facts(openxml.parsed(meta)) if meta else ("", {})
    return Loaded(
        text=builder.text,
        title=next((heading.title for heading in builder.headings), "") or title,
        structured=True,
        headings=builder.headings,
        metadata=facts,
        warnings=(Reason("ingest.hidden-text", n=reading.hidden),) if reading.hidden else (),
    )


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    return archive.read(name) if name in archive.namelist() else b""


def _facts(root: Any) -> tuple[str, dict[str, Meta]]:
    def said(name: str) -> list[str]:
        return [text for item in root.iter(f"{{*}}{name}") if (text := one_line(item.text or ""))]

    facts: dict[str, Meta] = {}
    if authors := said("creator") or said("initial-creator"):
        facts["author"] = authors[0]
    if dates := said("date") or said("creation-date"):
        facts["date"] = dates[0][:10]
    if tags := said("keyword"):
        facts["tags"] = tuple(tags)
    if languages := said("language"):
        facts["lang"] = language(languages[0])
    return next(iter(said("title")), ""), facts


class _OdtBody:
    """Writes blocks in order, and after a paragraph the notes and boxes that hang on it.

    `objects` are the contents of embedded equations and charts, by name.
    """

    def __init__(self, styles: Styles, objects: Mapping[str, Any]) -> None:
        self.builder = TextBuilder()
        self._styles = styles
        self._objects = objects
        self._attached: list[Any] = []
        self._notes = 0
        self.hidden = 0

    def margins(self, styles: Sequence[Any]) -> None:
        """Read what is at the head and the foot of pages, each text once."""
        seen: set[str] = set()
        for root in styles:
            for margin in root.iterfind(".//{*}master-page/*"):
                for paragraph in (
                    margin.iter("{*}p") if _kind(margin).startswith(("header", "footer")) else ()
                ):
                    text = one_line(self._text(paragraph))
                    if any(map(str.isalpha, text)) and text not in seen:
                        seen.add(text)
                        self.builder.block(text)

    def blocks(self, container: Any, bullet: str) -> None:
        """Read what is in a body, a section, a list's item or a box."""
        for element in container:
            kind = _kind(element)
            if kind == "h":
                level = int(element.get(_name(element, "outline-level")) or 1)
                self.builder.heading(self._text(element), level)
                self._hanging()
            elif kind == "p":
                text = one_line(self._text(element))
                self.builder.block(f"{bullet}{text}" if text else "", gap="\n" if bullet else "\n\n")
                self._hanging()
            elif kind == "table":
                self._table(element)
            elif kind == "list":
                self._list(element, bullet)
            elif kind and kind not in _DROPPED:
                self.blocks(element, bullet)

    def _list(self, element: Any, bullet: str) -> None:
        indent = "  " * (1 + (len(bullet) - len(bullet.lstrip())) // 2) if bullet else ""
        for item, mark in self._styles.marks(element, level=len(indent) // 2 + 1):
            self.blocks(item, f"{indent}{mark} ")

    def _hanging(self) -> None:
        while self._attached:
            attached, self._attached = self._attached, []
            for part in attached:
                if isinstance(part, str):
                    self.builder.block(part)
                else:
                    self.blocks(part, "")

    def _table(self, table: Any) -> None:
        rows = [row for row in table.iter("{*}table-row") if _nearest_table(row) is table]
        grid = Grid()
        head = sum(_kind(row.getparent()) == "table-header-rows" for row in rows)
        for number, row in enumerate(rows):
            column = 0
            for cell in row:
                again = min(int(cell.get(_name(cell, "number-columns-repeated")) or 1), _HIGHEST)
                if _kind(cell) == "table-cell":
                    texts = (one_line(self._text(p)) for p in cell.iter("{*}p", "{*}h"))
                    text = " ".join(filter(None, texts))
                    high = int(cell.get(_name(cell, "number-rows-spanned")) or 1)
                    wide = int(cell.get(_name(cell, "number-columns-spanned")) or 1)
                    for at in range(column, column + (again if text else 1)):
                        grid.add(number, at, text, height=high, width=wide)
                column += again
        self.builder.table(table_lines(grid.rows(), head=head if 0 < head < len(rows) else None))
        self._hanging()

    def _text(self, element: Any) -> str:
        return "".join(self._pieces(element))

    def _pieces(self, element: Any) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            kind = _kind(child)
            if kind in ("s", "tab", "line-break"):
                yield " "
            elif kind == "note":
                self._notes += 1
                body = child.find("{*}note-body")
                words = one_line(" ".join(map(self._text, body))) if body is not None else ""
                self._attached.append(f"[^{self._notes}]: {words}")
                yield f"[^{self._notes}]"
            elif kind == "annotation":
                words = one_line(" ".join(self._text(p) for p in child.iter("{*}p")))
                self._attached.append(f"[{words}]")
            elif kind == "object":
                yield from self._object(child)
            elif kind == "span" and self._styles.is_hidden(child):
                self.hidden += 1
            elif kind == "span" and self._styles.is_raised(child):
                yield superscript(self._text(child))
            elif kind == "text-box":
                self._attached.append(child)
            elif kind == "ruby":
                base, reading = (one_line("".join(part.itertext())) for part in (child[0], child[-1]))
                yield f"{base}({reading})"
            elif kind in ("title", "desc"):
                self._attached.append(one_line(child.text or ""))
            elif kind and kind not in _DROPPED:
                yield from self._pieces(child)
            yield child.tail or ""

    def _object(self, element: Any) -> Iterator[str]:
        """An equation as its program writes it; a chart's table after the paragraph."""
        name = next((value for key, value in element.items() if key.endswith("}href")), "")
        root = self._objects.get(name.removeprefix("./"))
        if root is None:
            return
        if _kind(root) == "math":
            written = root.find(".//{*}annotation")
            yield one_line("".join(root.itertext() if written is None else [written.text or ""]))
        else:
            self._attached.extend(root.iterfind(".//{*}title"))
            self._attached.extend(root.iterfind(".//{*}table/.."))


def _kind(element: Any) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _name(element: Any, local: str) -> str:
    return re.sub(r"\}.*", "}" + local, element.tag)


def _nearest_table(row: Any) -> Any:
    return next(row.iterancestors("{*}table"), None)
