"""Comparisons of rerank specs over logged answers, as jobs: one at a time, bounded, cancellable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.log.records import EVERY, AnswerFilter
from winnow.server import worker
from winnow.server.worker import Tell, Worker

if TYPE_CHECKING:
    from winnow.lab.comparing import SpecRow
    from winnow.server.errors import Problems
    from winnow.server.visible import Visible

MOST_ANSWERS = 200
MOST_SPECS = 8
_MOST_WAITING = 4
# Each holds the final passages of every answer under every spec: a few megabytes.
_REMEMBERED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(worker.Job):
    """Specs over the newest `last` answers that match; `done` counts replays, `rows` are the result.

    `seen` is what its client could see then.
    """

    specs: tuple[str, ...]
    last: int
    seen: Visible
    where: AnswerFilter = EVERY
    spec: str = ""
    done: int = 0
    total: int = 0
    rows: tuple[SpecRow, ...] = ()


class Comparisons(Worker[Comparison]):
    """The comparisons of a server."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(
            self._compare, problems, kind="comparison", waiting=_MOST_WAITING, remembered=_REMEMBERED
        )

    def seen(self, seen: Visible) -> list[Comparison]:
        """Return the comparisons that may be seen: one's own, or all where nothing is hidden."""
        everything = not seen.rights.restricted and seen.rights.log == "all"
        return [job for job in self.all() if everything or job.seen.rights == seen.rights]

    def one(self, seen: Visible, identifier: str) -> Comparison:
        """Return a comparison that may be seen. Raises NotFoundError."""
        known = {job.id for job in self.seen(seen)}
        return self.get(identifier) if identifier in known else self.unknown(identifier)

    def finish(self) -> None:
        """End running comparisons as well: they change nothing, and can be run again."""
        for job in self.all():
            self.cancel(job.id)
        super().finish()

    def _compare(self, job: Comparison, tell: Tell) -> None:
        def progress(spec: str, done: int, total: int) -> None:
            before = job.specs.index(spec) * total
            tell(spec=spec, done=before + done, total=total * len(job.specs))

        rows = job.seen.log.compare(job.specs, job.where, last=job.last, progress=progress)
        tell(rows=tuple(rows))
