"""Notices a table whose rows are texts, so that each of them may be wanted as a document of its own."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from statistics import fmean

from storage.reasons import Reason

MOST_ROWS = 50
_NAMES = ("text", "content", "body", "passage", "正文", "内容", "內容", "文本")
# Characters of a value, on average: of a column that is called a text, and of any other.
_NAMED, _LONG = 60, 300


def text_column_hint(rows: Iterable[Mapping[str, object]]) -> Iterator[Reason]:
    """A hint that names the column with the texts, if one clearly has them. One row is no collection."""
    lengths: dict[str, list[int]] = defaultdict(list)
    first = list(islice(rows, MOST_ROWS))
    for row in first:
        for name, value in row.items():
            lengths[name].append(len(value) if isinstance(value, str) else 0)
    means = {name: fmean(found) for name, found in lengths.items() if 2 * len(found) > len(first) > 1}
    if not means:
        return
    longest = max(means, key=means.__getitem__)
    if means[longest] >= (_NAMED if longest.strip().casefold() in _NAMES else _LONG):
        yield Reason("ingest.text-column", column=shlex.quote(longest))
