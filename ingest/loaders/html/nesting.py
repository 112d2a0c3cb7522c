"""Refuses HTML whose elements are within elements without end, before it is parsed."""

from __future__ import annotations

import re

from storage.errors import DocumentRefusedError
from storage.reasons import Reason

_DEEPEST = 10_000
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*|!--)([^<>]*)")
_WITHOUT_CONTENT = "area base br col embed hr img input link meta source track wbr"
_ENDED_BY_THE_NEXT = "p li dt dd tr td th thead tbody tfoot option optgroup rt rp html head body"
# What looks like a tag within these is none.
_TEXT = {
    "script": re.compile("</script", re.I),
    "style": re.compile("</style", re.I),
    "!--": re.compile("-->"),
}
# Within these, and nowhere else, `<path/>` is closed.
_FOREIGN = ("svg", "math")
_NOT_COUNTED = frozenset(f"{_WITHOUT_CONTENT} {_ENDED_BY_THE_NEXT}".split())


def check_nesting(page: str) -> None:
    """Raises DocumentRefusedError beyond 10,000 open elements: a parser looks through all at each new one."""
    depth = foreign = at = 0
    while tag := _TAG.search(page, at):
        at, name, step = tag.end(), tag[2].lower(), -1 if tag[1] else 1
        if step == 1 and name in _TEXT:
            end = _TEXT[name].search(page, tag.start(2))
            at = end.end() if end else len(page)
            continue
        if name in _NOT_COUNTED or (tag[3].endswith("/") and (foreign or name in _FOREIGN)):
            continue
        depth = max(0, depth + step)
        if name in _FOREIGN:
            foreign = max(0, foreign + step)
        if depth > _DEEPEST:
            raise DocumentRefusedError("ingest.too-deep", Reason("ingest.nested-deeper", limit=_DEEPEST))
