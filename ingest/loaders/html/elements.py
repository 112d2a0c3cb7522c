"""Tells what the elements of a page are, by their names, roles, attributes and what is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from selectolax.lexbor import LexborNode

from ingest.loaders.office.docx_numbering import written

# What elements without a meaning of their own say that they are.
_ROLES = {
    "table": "table",
    "grid": "table",
    "rowgroup": "tbody",
    "row": "tr",
    "cell": "td",
    "gridcell": "td",
    "columnheader": "th",
    "rowheader": "th",
    "list": "ul",
    "listitem": "li",
}
_NUMBERS = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
# Cells of a table that are looked at.
_MOST_CELLS = 200


@dataclass(slots=True)
class ItemNumbers:
    """The numbers of an ordered list."""

    next: int
    step: int = 1
    kind: str = "decimal"

    @classmethod
    def of(cls, node: LexborNode) -> Self:
        kind = _NUMBERS.get(node.attributes.get("type") or "", "decimal")
        start = _whole(node, "start")
        if "reversed" not in node.attributes:
            return cls(1 if start is None else start, kind=kind)
        items = sum(child.tag == "li" for child in node.iter())
        return cls(items if start is None else start, -1, kind)

    def take(self, item: LexborNode) -> str:
        """The number of the next item."""
        own = _whole(item, "value")
        number = self.next if own is None else own
        self.next = number + self.step
        return written(number, self.kind) if number > 0 else str(number)


def name_of(node: LexborNode) -> str:
    """An element's name, or that of the element which its role says it is."""
    tag = node.tag or ""
    if tag not in ("div", "span", "section"):
        return tag
    role = (node.attributes.get("role") or "").lower()
    if role == "heading":
        return f"h{min(max(_whole(node, 'aria-level') or 2, 1), 6)}"
    return _ROLES.get(role, tag)


def is_layout(table: LexborNode) -> bool:
    """True for a table that only arranges a page: no header cells, and parts of a page in its cells.

    Those are a heading and more, or, where it is one row or one column, tables and headings.
    """
    if (table.attributes.get("role") or "") in ("presentation", "none"):
        return True
    if table.css_first("h1, h2, h3, h4, h5, h6, table table, pre") is None:
        return False
    own = table.mem_id
    if any(_table_of(node) == own for node in table.css("th, caption, thead")[:_MOST_CELLS]):
        return False
    cells = [cell for cell in table.css("td")[:_MOST_CELLS] if _table_of(cell) == own]
    rows = {cell.parent.mem_id for cell in cells if cell.parent is not None}
    if len(rows) == 1 or len(rows) == len(cells):
        return True
    return any(_is_part_of_page(cell) for cell in cells)


def _is_part_of_page(cell: LexborNode) -> bool:
    return (
        cell.css_first("h1, h2, h3, h4, h5, h6") is not None
        and cell.css_first("p, ul, ol, table, pre, blockquote") is not None
    )


def _table_of(node: LexborNode) -> int:
    at = node.parent
    while at is not None and at.tag != "table":
        at = at.parent
    return 0 if at is None else at.mem_id


def has_name_in_front(row: LexborNode) -> set[bool]:
    """Tell a header cell with one cell beside it; nothing for a row of one cell."""
    tags = [name for cell in row.iter() if (name := name_of(cell)) in ("td", "th")]
    return {tags == ["th", "td"]} if len(tags) > 1 else set()


def only_names(row: LexborNode) -> bool:
    """True for a row of names: in the table's head, or of nothing but header cells."""
    if row.parent is not None and row.parent.tag == "thead":
        return True
    tags = [name for cell in row.iter() if (name := name_of(cell)) in ("td", "th")]
    return len(tags) > 1 and set(tags) == {"th"}


def span_of(node: LexborNode, name: str) -> int:
    value = _whole(node, name)
    return 1 if value is None or value < 0 else value


def _whole(node: LexborNode, name: str) -> int | None:
    """The value of an attribute that is a whole number; None for anything else."""
    value = (node.attributes.get(name) or "").strip()
    return int(value) if re.fullmatch(r"-?[0-9]{1,5}", value) else None
