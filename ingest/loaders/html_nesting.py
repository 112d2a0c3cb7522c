"""Refuses HTML whose elements are within elements without end, before it is parsed."""

from __future__ import annotations

import re

from storage.errors import DocumentRefusedError
from storage.reasons import Reason

_DEEPEST = 10_000
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_WITHOUT_CONTENT = "area base br col embed hr img input link meta source track wbr"
_ENDED_BY_THE_NEXT = "p li dt dd tr td th thead tbody tfoot option optgroup rt rp html head body"
_NOT_COUNTED = frozenset(f"{_WITHOUT_CONTENT} {_ENDED_BY_THE_NEXT}".split())


def check_nesting(page: str) -> None:
    """Raises DocumentRefusedError beyond 10,000 open elements: a parser looks through all at each new one."""
    depth = 0
    for tag in _TAG.finditer(page):
        if tag[2].lower() not in _NOT_COUNTED:
            depth = max(0, depth - 1) if tag[1] else depth + 1
        if depth > _DEEPEST:
            raise DocumentRefusedError("ingest.too-deep", Reason("ingest.nested-deeper", limit=_DEEPEST))
