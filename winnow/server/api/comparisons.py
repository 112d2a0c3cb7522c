"""Comparisons of rerank specs over logged answers, as jobs: one at a time, bounded, cancellable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.log.records import EVERY, AnswerFilter
from winnow.server import worker
from winnow.server.worker import Tell, Worker

if TYPE_CHECKING:
    from winnow.lab.comparing import SpecRow
    from winnow.pipeline import RAGPipeline
    from winnow.server.errors import Problems

MOST_ANSWERS = 200
MOST_SPECS = 8
_MOST_WAITING = 4
# Each holds the final passages of every answer under every spec: a few megabytes.
_REMEMBERED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(worker.Job):
    """Specs over the newest `last` answers that match; `done` counts replays, `rows` are the result."""

    specs: tuple[str, ...]
    last: int
    where: AnswerFilter = EVERY
    spec: str = ""
    done: int = 0
    total: int = 0
    rows: tuple[SpecRow, ...] = ()


class Comparisons(Worker[Comparison]):
    """The comparisons of a server."""

    def __init__(self, pipeline: RAGPipeline, problems: Problems) -> None:
        self._pipeline = pipeline
        super().__init__(
            self._compare, problems, kind="comparison", waiting=_MOST_WAITING, remembered=_REMEMBERED
        )

    def finish(self) -> None:
        """End running comparisons as well: they change nothing, and can be run again."""
        for job in self.all():
            self.cancel(job.id)
        super().finish()

    def _compare(self, job: Comparison, tell: Tell) -> None:
        def progress(spec: str, done: int, total: int) -> None:
            before = job.specs.index(spec) * total
            tell(spec=spec, done=before + done, total=total * len(job.specs))

        rows = self._pipeline.log.compare(job.specs, job.where, last=job.last, progress=progress)
        tell(rows=tuple(rows))
