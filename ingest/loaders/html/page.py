"""Walks the tree of a page and writes its text. The walk is a loop, not a recursion."""

from __future__ import annotations

from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from ingest.loaders.html.elements import (
    ItemNumbers,
    has_name_in_front,
    is_layout,
    name_of,
    only_names,
    span_of,
)
from ingest.loaders.tables import Grid, table_lines
from ingest.loaders.text import TextBuilder, one_line, superscript

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_NAMES = """
    address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure
    footer form header hgroup hr html li main nav ol p pre section summary table tbody td tfoot th thead tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
# Tables within each other that are looked at; what is deeper is words of a cell.
_MOST_LAYOUTS = 20


class Page:
    """Collects inline text and writes it as a block whenever a block begins or ends."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self._inline: list[str] = []
        self._lists: list[ItemNumbers | None] = []  # None: without numbers
        self._bullet = ""
        self._pre = 0
        self._raised = 0
        self._grid = Grid()
        self._row, self._cell, self._head, self._in_head = -1, (1, 1), 0, True
        self._names_in_front: set[bool] = (
            set()
        )  # of the rows of several cells, whether they are a name and a value
        self._tables = 0
        self._layouts: list[bool] = []  # of the open tables, whether each is there for layout only
        self._tight = False

    def walk(self, root: LexborNode, skipped: set[int]) -> None:
        """Read the tree under `root` without the nodes whose ids are `skipped`."""
        for node, entering in _visit(root, skipped):
            if node.tag == "-text":
                text = node.text_content or ""
                self._inline.append(superscript(text) if self._raised else text)
            elif entering:
                self._enter(name_of(node), node)
            else:
                self._leave(name_of(node))
        self._flush()

    def _enter(self, tag: str, node: LexborNode) -> None:
        if tag == "br":
            self._inline.append("\n" if self._pre else " ")
        elif tag == "img":
            self._inline.append(f" {node.attributes.get('alt') or ''} ")
        elif tag in ("textarea", "input"):
            box = (node.attributes.get("type") or "").lower() in ("checkbox", "radio")
            box = box and "role" not in node.attributes  # a box that is a button is not seen
            self._inline.append((" ☒ " if "checked" in node.attributes else " ☐ ") if box else " ")
        elif tag == "sup":
            self._raised += 1
        elif tag == "rt":
            self._inline.append("(")
        elif "-" in tag[1:]:  # an element of the page's own, most often a block; comments are `-comment`
            self._inline.append(" ")
        if tag not in _BLOCKS and tag not in _HEADINGS:
            return
        if self._tables and tag != "table":
            self._enter_cell(tag, node)
            return
        self._flush()
        if tag in ("ul", "ol"):
            self._lists.append(ItemNumbers.of(node) if tag == "ol" else None)
        elif tag == "li":
            self._bullet = self._next_bullet(node)
        elif tag == "pre":
            self._pre += 1
        elif tag == "table":
            self._enter_table(node)

    def _enter_table(self, node: LexborNode) -> None:
        layout = not self._tables and len(self._layouts) < _MOST_LAYOUTS and is_layout(node)
        self._layouts.append(layout)
        if layout:
            return
        self._tables += 1
        if self._tables == 1:
            self._grid, self._row, self._head, self._in_head = Grid(), -1, 0, True
            self._names_in_front = set()

    def _leave(self, tag: str) -> None:
        if tag == "sup":
            self._raised = max(0, self._raised - 1)
        elif tag == "rt":
            self._inline.append(")")
        elif "-" in tag[1:]:
            self._inline.append(" ")
        if self._tables and tag != "table":
            if tag in ("td", "th"):
                self._end_cell()
            elif tag == "caption" and self._tables == 1:
                self.builder.block(self._taken())
            return
        if tag in _HEADINGS:
            self.builder.heading(self._taken(), _HEADINGS[tag])
        elif tag == "table" and not (self._layouts.pop() if self._layouts else True):
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
            self._in_head = self._in_head and only_names(node)
            self._head += self._in_head
            if False not in self._names_in_front:
                self._names_in_front |= has_name_in_front(node)
            self._inline.clear()
        elif tag in ("td", "th"):
            self._cell = span_of(node, "rowspan"), span_of(node, "colspan")
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
            self.builder.block(
                "\n".join(line for _, line in table_lines(rows, head=self._header_rows(len(rows))))
            )
        self._flush()

    def _header_rows(self, rows: int) -> int | None:
        """Count the rows that are the header: none where each names the one value beside its name."""
        if 0 < self._head < rows:
            return self._head
        return 0 if self._names_in_front == {True} else None

    def _next_bullet(self, item: LexborNode) -> str:
        depth = max(0, min(len(self._lists), 8) - 1)
        numbers = self._lists[-1] if self._lists else None
        return "  " * depth + ("- " if numbers is None else f"{numbers.take(item)}. ")

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
