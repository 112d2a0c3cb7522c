"""HTML as Markdown: the text that a reader of the page sees. The walk is a loop, not a recursion."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.html_nesting import check_nesting
from ingest.loaders.metadata import language
from ingest.loaders.tables import Grid, table_lines
from ingest.loaders.text import TextBuilder, one_line, superscript
from storage.records import Meta

_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_META = {
    "description": ("description", "og:description"),
    "author": ("author", "article:author", "dc.creator"),
    "date": ("date", "article:modified_time", "article:published_time", "dc.date", "last-modified"),
}
_INVISIBLE = (
    "script, style, noscript, template, iframe, object, svg, canvas, math annotation, "
    "math annotation-xml, rp, [hidden], head"
)
_BOILERPLATE = (
    "nav, footer, aside, button, select, dialog, [role=navigation], [role=banner], [role=contentinfo]"
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_NAMES = """
    address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure
    footer form header hgroup hr html li main nav ol p pre section summary table tbody td tfoot th thead tr ul
"""
# A page with less text than this outside of its boilerplate is looked at with it, too, and is read with it
# if there is next to nothing else.
_ENOUGH, _LEAST_SHARE = 500, 0.2
_BLOCKS = frozenset(_BLOCK_NAMES.split())


def load(source: Source) -> Loaded:
    """Headings, paragraphs, lists, tables and code; navigation, banners, forms and scripts are left out.

    If next to nothing remains without this boilerplate, the boilerplate is read. Raises DocumentRefusedError.
    """
    declared = _DECLARED.search(source.data[:4096])
    decoded = decode(source.data, declared=_whatwg(declared[1].decode("ascii")) if declared else None)
    check_nesting(decoded.text)
    tree = LexborHTMLParser(decoded.text)
    title, metadata = _head(tree)
    _drop(tree, _INVISIBLE)
    _drop_hidden(tree)
    page = _read(tree, without_boilerplate=True)
    if len(page.builder.text) < _ENOUGH:
        whole = _read(tree, without_boilerplate=False)
        if len(page.builder.text) < _LEAST_SHARE * len(whole.builder.text):
            page = whole
    return Loaded(
        text=page.builder.text,
        title=title or next((heading.title for heading in page.builder.headings), ""),
        structured=True,
        headings=page.builder.headings,
        metadata=decoded.metadata | metadata,
        warnings=decoded.warnings,
    )


def _whatwg(label: str) -> str:
    """The encoding that browsers use for a label: pages are written for browsers."""
    supersets = {
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "big5": "big5hkscs",
        "iso-8859-1": "cp1252",
        "ascii": "cp1252",
    }
    return supersets.get(label.lower(), label.lower())


def _head(tree: LexborHTMLParser) -> tuple[str, dict[str, Meta]]:
    """The title, and what the page says about itself."""
    node = tree.css_first("head title")
    metadata: dict[str, Meta] = {}
    named = {
        (meta.attributes.get("name") or meta.attributes.get("property") or "").lower(): one_line(
            meta.attributes.get("content") or ""
        )
        for meta in reversed(tree.css("head meta[content]"))
    }
    for field, names in _META.items():
        if value := next((named[name] for name in names if named.get(name)), ""):
            metadata[field] = value
    tags = (one_line(tag) for tag in re.split("[,，、;；]", named.get("keywords", "")))
    if kept := tuple(tag for tag in tags if tag):
        metadata["tags"] = kept
    root = tree.css_first("html")
    if root is not None and (lang := one_line(root.attributes.get("lang") or "")):
        metadata["lang"] = language(lang)
    return (one_line(node.text()) if node is not None else ""), metadata


def _drop(tree: LexborHTMLParser, selector: str) -> None:
    for node in tree.css(selector):
        node.remove()


def _drop_hidden(tree: LexborHTMLParser) -> None:
    for node in tree.css("[style]"):
        if _HIDDEN_STYLE.search(node.attributes.get("style") or ""):
            node.remove()


def _read(tree: LexborHTMLParser, *, without_boilerplate: bool) -> Page:
    page = Page()
    if tree.root is not None:
        page.walk(tree.root, {node.mem_id for node in _boilerplate(tree)} if without_boilerplate else set())
    return page


def _boilerplate(tree: LexborHTMLParser) -> list[LexborNode]:
    # A header inside the article is the article's own.
    within: dict[int, bool] = {}
    return tree.css(_BOILERPLATE) + [node for node in tree.css("header") if not _in_article(node, within)]


def _in_article(node: LexborNode, known: dict[int, bool]) -> bool:
    """True for a node within an article; `known` keeps what was found for the elements around it."""
    around = []
    found, at = False, node.parent
    while at is not None and not found:
        if at.mem_id in known:
            found = known[at.mem_id]
            break
        around.append(at.mem_id)
        found, at = at.tag in ("article", "main"), at.parent
    known.update(dict.fromkeys(around, found))
    return found


class Page:
    """Collects inline text and writes it as a block whenever a block begins or ends."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self._inline: list[str] = []
        self._lists: list[int | None] = []  # a number: the next item of an ordered list
        self._bullet = ""
        self._pre = 0
        self._raised = 0
        self._grid = Grid()
        self._row, self._cell, self._head, self._in_head = -1, (1, 1), 0, True
        self._tables = 0
        self._tight = False

    def walk(self, root: LexborNode, skipped: set[int]) -> None:
        """Read the tree under `root` without the nodes whose ids are `skipped`."""
        for node, entering in _visit(root, skipped):
            if node.tag == "-text":
                text = node.text_content or ""
                self._inline.append(superscript(text) if self._raised else text)
            elif entering:
                self._enter(node.tag or "", node)
            else:
                self._leave(node.tag or "")
        self._flush()

    def _enter(self, tag: str, node: LexborNode) -> None:
        if tag == "br":
            self._inline.append("\n" if self._pre else " ")
        elif tag == "img":
            self._inline.append(f" {node.attributes.get('alt') or ''} ")
        elif tag in ("textarea", "input"):
            self._inline.append(" ")
        elif tag == "sup":
            self._raised += 1
        elif tag == "rt":
            self._inline.append("(")
        if tag not in _BLOCKS and tag not in _HEADINGS:
            return
        if self._tables and tag != "table":
            self._enter_cell(tag, node)
            return
        self._flush()
        if tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._bullet = self._next_bullet()
        elif tag == "pre":
            self._pre += 1
        elif tag == "table":
            self._tables += 1
            if self._tables == 1:
                self._grid, self._row, self._head, self._in_head = Grid(), -1, 0, True

    def _leave(self, tag: str) -> None:
        if tag == "sup":
            self._raised = max(0, self._raised - 1)
        elif tag == "rt":
            self._inline.append(")")
        if self._tables and tag != "table":
            if tag in ("td", "th"):
                self._end_cell()
            elif tag == "caption" and self._tables == 1:
                self.builder.block(self._taken())
            return
        if tag in _HEADINGS:
            self.builder.heading(self._taken(), _HEADINGS[tag])
        elif tag == "table":
            self._end_table()
        elif tag in _BLOCKS:
            self._flush()
            self._end_block(tag)

    def _end_block(self, tag: str) -> None:
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
            self._tight = bool(self._lists)
        elif tag == "pre":
            self._pre = max(0, self._pre - 1)

    def _enter_cell(self, tag: str, node: LexborNode) -> None:
        if self._tables > 1:  # a table within a cell is words of the cell
            self._inline.append(" ")
        elif tag == "tr":
            self._row += 1
            self._in_head = self._in_head and _only_names(node)
            self._head += self._in_head
            self._inline.clear()
        elif tag in ("td", "th"):
            self._cell = _count(node, "rowspan"), _count(node, "colspan")
        elif tag == "caption":
            self._inline.clear()
        else:
            self._inline.append(" ")

    def _end_cell(self) -> None:
        if self._tables > 1:
            return
        self._row = max(0, self._row)
        column = self._grid.free(self._row, 0)
        self._grid.add(self._row, column, self._taken(), height=self._cell[0], width=self._cell[1])

    def _end_table(self) -> None:
        self._tables -= 1
        if self._tables:
            return
        rows = self._grid.rows()
        if max((len(row.cells) for row in rows), default=0) == 1 or len(rows) == 1:  # for layout only
            for row in rows:
                for cell in dict.fromkeys(row.cells.values()):
                    self.builder.block(cell)
        else:
            lines = [
                line for _, line in table_lines(rows, head=self._head if 0 < self._head < len(rows) else None)
            ]
            self.builder.block("\n".join(lines))
        self._flush()

    def _next_bullet(self) -> str:
        depth = max(0, min(len(self._lists), 8) - 1)
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        return "  " * depth + ("- " if number is None else f"{number}. ")

    def _taken(self) -> str:
        text = one_line("".join(self._inline))
        self._inline.clear()
        return text

    def _flush(self) -> None:
        if self._pre:
            code = "".join(self._inline).strip("\n")
            self._inline.clear()
            if code.strip():
                self.builder.block(f"```\n{code}\n```")
            return
        text = self._taken()
        if not text:
            return
        self.builder.block(self._bullet + text, gap="\n" if self._bullet and self._tight else "\n\n")
        self._tight, self._bullet = bool(self._bullet), ""


def _only_names(row: LexborNode) -> bool:
    """True for a row of names: in the table's head, or of nothing but header cells."""
    if row.parent is not None and row.parent.tag == "thead":
        return True
    tags = [cell.tag for cell in row.iter() if cell.tag in ("td", "th")]
    return len(tags) > 1 and set(tags) == {"th"}


def _count(node: LexborNode, name: str) -> int:
    value = (node.attributes.get(name) or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 1


def _visit(root: LexborNode, skipped: set[int]) -> Iterator[tuple[LexborNode, bool]]:
    """Every node in document order: once on entering, and for elements once on leaving."""
    node: LexborNode | None = root
    while node is not None:
        yield node, True
        child = None if node.mem_id in skipped else node.first_child
        while child is None and node is not None:
            if node.tag != "-text":
                yield node, False
            if node.mem_id == root.mem_id:
                return
            child, node = node.next, node.parent
        node = child
