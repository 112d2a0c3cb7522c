"""A page of the log's list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.log.records import AnswerSummary
from winnow.server.pages.views.log_filter import LogFilter
from winnow.server.served import Served

PER_PAGE = 25


@dataclass(frozen=True, slots=True)
class LogPage:
    """Answers of the log, newest first. `logging` False: what is asked now is not logged."""

    answers: Sequence[AnswerSummary]
    total: int
    page: int
    logging: bool

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PER_PAGE))

    @property
    def first(self) -> int:
        """Which of all answers the first one here is, from 1."""
        return (self.page - 1) * PER_PAGE + 1


def read(served: Served, chosen: LogFilter, page: int) -> LogPage:
    """The page, or the last one where there are not so many; none of a filter that is wrong."""
    logging = served.pipeline.settings.logging
    if chosen.wrong:
        return LogPage((), 0, 1, logging)
    log = served.pipeline.log
    total = log.count(chosen.where)
    page = min(page, max(1, -(-total // PER_PAGE)))
    found = log.list(PER_PAGE, chosen.where, offset=(page - 1) * PER_PAGE)
    return LogPage(found, total, page, logging)
