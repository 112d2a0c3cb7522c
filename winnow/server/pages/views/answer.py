"""One answer as every page shows it: text with citations, rank chart, stages, complaints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from storage.reasons import Reason
from storage.records import Answer, Outcome, Status, worst
from winnow.app.stages import warnings_of
from winnow.server.pages.views.cited import CitedText, cited
from winnow.server.pages.views.rank_chart import RankChartView, rank_chart


@dataclass(frozen=True, slots=True)
class StageBar:
    """A stage with its part of the time: `start` and `width` are percent of the whole."""

    outcome: Outcome
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Complaint:
    """A reason why something did not go as asked, and the stages that gave it."""

    reason: str
    stages: Sequence[Outcome] = ()


@dataclass(frozen=True)
class AnswerView:
    """An answer; `prefix` begins the ids of its chart's parts, so that a page can show two."""

    answer: Answer
    prefix: str = ""

    @property
    def status(self) -> Status:
        """The status of the worst stage."""
        return worst(stage.status for stage in self.answer.stages)

    @property
    def total_ms(self) -> float:
        """The whole time; the sum of the stages where it was not measured."""
        return self.answer.timings_ms.get("total", sum(stage.ms for stage in self.answer.stages))

    @cached_property
    def text(self) -> CitedText:
        return cited(self.answer)

    @cached_property
    def chart(self) -> RankChartView:
        return rank_chart(self.answer, prefix=self.prefix)

    @property
    def stages(self) -> list[StageBar]:
        """The stages in order, as parts of the whole time."""
        total = max(self.total_ms, sum(stage.ms for stage in self.answer.stages)) or 1.0
        bars, start = [], 0.0
        for stage in self.answer.stages:
            width = 100 * stage.ms / total
            bars.append(StageBar(stage, round(start, 2), round(max(width, 0.4) if stage.ms else 0.0, 2)))
            start += width
        return bars

    @property
    def complaints(self) -> list[Complaint]:
        """Everything that did not go as asked, each reason once."""
        by_reason: dict[str, list[Outcome]] = {}
        for stage in self.answer.stages:
            reasons = [one for one in Reason.of(stage.reason).parts if one != self.answer.weak_match]
            if stage.status != "ok" and reasons:
                by_reason.setdefault(Reason.all(reasons), []).append(stage)
        told = set(warnings_of(self.answer.stages))
        others = [Complaint(warning) for warning in self.answer.warnings if warning not in told]
        return [*(Complaint(reason, stages) for reason, stages in by_reason.items()), *others]
