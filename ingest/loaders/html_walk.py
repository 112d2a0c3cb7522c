"""The walk over an HTML tree that writes Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from ingest.loaders.text import TextBuilder, one_line

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_NAMES = """
    address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure
    footer form header hgroup hr html li main nav ol p pre section summary table tbody td tfoot th thead tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())


class Page:
    """Collects inline text, and writes it as a block whenever a block begins or ends."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self._inline: list[str] = []
        self._lists: list[int | None] = []  # a number: the next item of an ordered list
        self._bullet = ""
        self._pre = 0
        self._rows: list[list[str]] = []
        self._tables = 0
        self._tight = False

    def walk(self, root: LexborNode, skipped: set[int]) -> None:
        """Read the tree under `root`, but for the nodes whose ids are `skipped`."""
        for node, entering in _visit(root, skipped):
            if node.tag == "-text":
                self._inline.append(node.text_content or "")
            elif entering:
                self._enter(node.tag or "")
            else:
                self._leave(node.tag or "")
        self._flush()

    def _enter(self, tag: str) -> None:
        if tag == "br":
            self._inline.append("\n" if self._pre else " ")
        if tag not in _BLOCKS and tag not in _HEADINGS:
            return
        if self._tables and tag != "table":
            self._enter_cell(tag)
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

    def _leave(self, tag: str) -> None:
        if self._tables and tag != "table":
            if tag in ("td", "th"):
                self._end_cell()
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

    def _enter_cell(self, tag: str) -> None:
        if tag == "tr":
            self._rows.append([])
            self._inline.clear()
        elif tag not in ("td", "th"):
            self._inline.append(" ")

    def _end_cell(self) -> None:
        if not self._rows:
            self._rows.append([])
        self._rows[-1].append(self._taken().replace("|", "\\|"))

    def _end_table(self) -> None:
        self._tables -= 1
        if self._tables:
            return
        rows, self._rows = [row for row in self._rows if any(row)], []
        if len(rows) == 1 or max((len(row) for row in rows), default=0) == 1:  # a table for layout only
            for row in rows:
                for cell in row:
                    self.builder.block(cell.replace("\\|", "|"))
        elif rows:
            self.builder.block(markdown_table(rows))
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


def markdown_table(rows: list[list[str]]) -> str:
    """Rows of cells as a Markdown table; the first row is its head."""
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


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
