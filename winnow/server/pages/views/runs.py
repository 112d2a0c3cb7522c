"""Ingest runs as the pages show them: a job that goes on, and the report of one that ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.qdrant.contract import document_id
from winnow.server.jobs import Job
from winnow.server.pages.views.documents import file_name

if TYPE_CHECKING:
    from ingest.report import IngestReport

_MOST = 100
# What needs somebody's eye stands first.
_ORDER = ("refused", "ingested", "replaced", "duplicate", "removed", "unchanged")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file; `document` is its id where it is in the collection."""

    name: str
    path: str
    status: str
    reason: str
    chunks: int
    warnings: Sequence[str]
    document: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended: how many documents have each status, and what became of them, `more` left out."""

    totals: Sequence[tuple[str, int]]
    skipped: Sequence[tuple[str, int]]
    passages: int
    seconds: float
    results: Sequence[Result]
    more: int


@dataclass(frozen=True, slots=True)
class JobView:
    """A job; `done` and `total` are bytes of files."""

    job: Job
    run: Run | None

    @property
    def files(self) -> Sequence[str]:
        return [path.name for path in self.job.paths]


def job_view(job: Job) -> JobView:
    """The job as it stands."""
    from ingest.report import IngestReport

    return JobView(job, None if job.report is None else run_of(IngestReport.from_dict(job.report)))


def last_run(report: str | None) -> Run | None:
    """The run of a report (JSON); of its files only those that were refused or have warnings."""
    import json

    from ingest.report import IngestReport

    if report is None:
        return None
    return run_of(IngestReport.from_dict(json.loads(report)), notable=True)


def run_of(report: IngestReport, *, notable: bool = False) -> Run:
    """The report, what was refused first; `notable` leaves out what needs nobody's eye."""
    totals = {status: int(number) for status, number in report.totals.items() if status in _ORDER}
    meant = [one for one in report.documents if not notable or one.status == "refused" or one.warnings]
    meant.sort(key=lambda one: (_ORDER.index(one.status), one.path))
    return Run(
        totals=[(status, totals[status]) for status in _ORDER if totals[status]],
        skipped=sorted(report.skipped.items()),
        passages=int(report.totals["chunks"]),
        seconds=report.seconds,
        results=[
            Result(
                name=file_name(one.path),
                path=one.path,
                status=one.status,
                reason=one.reason,
                chunks=one.chunks,
                warnings=one.warnings,
                document="" if one.status in ("refused", "removed") else document_id(one.path),
            )
            for one in meant[:_MOST]
        ],
        more=max(0, len(meant) - _MOST),
    )
