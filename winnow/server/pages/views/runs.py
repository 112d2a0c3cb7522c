"""The report of an ingest run as the pages show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.report import DocumentResult, IngestReport

_MOST = 100
# What needs attention comes first.
_ORDER = ("refused", "ingested", "replaced", "duplicate", "removed", "unchanged")


@dataclass(frozen=True, slots=True)
class RunView:
    """A finished run: its report, the files shown of it, and the number of `more` that are not shown."""

    report: IngestReport
    files: Sequence[DocumentResult]
    more: int

    @property
    def totals(self) -> Sequence[tuple[str, int | float]]:
        """The number of documents with each status."""
        return [(status, self.report.totals[status]) for status in _ORDER if self.report.totals[status]]


def run_view(report: IngestReport, *, notable: bool = False) -> RunView:
    """Show a report; `notable` leaves out the files that were neither refused nor have warnings."""
    files = [one for one in report.documents if not notable or one.status == "refused" or one.warnings]
    files.sort(key=lambda one: (_ORDER.index(one.status), one.path))
    return RunView(report, files[:_MOST], max(0, len(files) - _MOST))


def last_run(report: str | None) -> RunView | None:
    """Show the notable files of a logged report (JSON)."""
    from ingest.report import IngestReport

    return None if report is None else run_view(IngestReport.from_dict(json.loads(report)), notable=True)
