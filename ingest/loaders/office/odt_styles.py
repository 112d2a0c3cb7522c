"""Reads the styles of an ODT: raised and hidden words, and the numbers of lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lxml import etree

from ingest.loaders.office.docx_numbering import written

_FORMATS = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}


class Styles:
    """Styles of a document by name; `roots` are its parts that have some."""

    def __init__(self, roots: Sequence[Any]) -> None:
        self._raised: set[str] = set()
        self._hidden: set[str] = set()
        self._lists: dict[str, dict[int, Any]] = {}
        self._counts: dict[tuple[str, int], int] = {}
        for root in roots:
            for style in root.iter("{*}style"):
                for properties in style.iterfind("{*}text-properties"):
                    if _said(properties, "text-position").startswith("super"):
                        self._raised.add(_said(style, "name"))
                    if _said(properties, "display") == "none":
                        self._hidden.add(_said(style, "name"))
            for style in root.iter("{*}list-style"):
                self._lists[_said(style, "name")] = {
                    int(_said(level, "level") or 1): level for level in style
                }

    def is_raised(self, span: Any) -> bool:
        return _said(span, "style-name") in self._raised

    def is_hidden(self, span: Any) -> bool:
        return _said(span, "style-name") in self._hidden

    def marks(self, element: Any, *, level: int) -> Iterator[tuple[Any, str]]:
        """The items of a list with their numbers, or with `-`; `level` counts from 1."""
        name = _said(element, "style-name") or next(
            (own for around in element.iterancestors("{*}list") if (own := _said(around, "style-name"))), ""
        )
        style = self._lists.get(name, {}).get(level)
        kind = "" if style is None else _FORMATS.get(_said(style, "num-format"), "")
        first = int(_said(style, "start-value") or 1) if kind else 1
        goes_on = _said(element, "continue-numbering") == "true"
        number = self._counts.get((name, level), first - 1) if goes_on else first - 1
        for item in element:
            if not kind or not item.tag.endswith("}list-item"):
                yield item, "-"
                continue
            number = int(_said(item, "start-value") or number + 1)
            self._counts[name, level] = number
            yield item, f"{_said(style, 'num-prefix')}{written(number, kind)}{_said(style, 'num-suffix')}"


def _said(element: Any, local: str) -> str:
    """The value of an attribute, whatever its namespace."""
    return next((value for key, value in element.items() if etree.QName(key).localname == local), "")
