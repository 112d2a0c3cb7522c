"""One logged answer as its page shows it: the candidates' table, the stages, what they spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.log.records import AnswerSummary, Feedback
from storage.records import AROUND_RERANK, Answer, Candidate, Chunk, Outcome, Status, worst
from winnow.log import Log
from winnow.server.pages.views.cited import CitedText, cited
from winnow.server.pages.views.passages import Marked, label_of, marked
from winnow.server.pages.views.rank_chart import Bump, bump

_BEFORE = ("dense", "lexical", "retrieval")


@dataclass(frozen=True, slots=True)
class Cell:
    """A candidate at one stage; None where the stage did not see it, or gave no score."""

    rank: int | None
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A candidate in the table.

    `number` counts the answer's candidates from 1 (it is what grades refer to), `place` is the final one,
    `rose` how many places it gained on retrieval's; None where it has none.
    """

    number: int
    place: int | None
    rose: int | None
    cited: bool
    grade: int | None
    name: str
    chunk: Chunk
    cells: Sequence[Cell]
    text: Sequence[Marked]


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage with its part of the time: `start` and `width` are percent of the whole."""

    outcome: Outcome
    start: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerView:
    """A logged answer and what is known beside it."""

    answer: Answer
    status: Status
    total_ms: float
    text: CitedText
    picture: Bump
    columns: Sequence[str]
    final: Sequence[Row]
    others: Sequence[Row]
    stages: Sequence[StageLine]
    feedback: Feedback
    replay_of: str | None
    replays: Sequence[AnswerSummary]

    @property
    def exchanges(self) -> Sequence[Outcome]:
        """The stages whose calls of a chat model were kept."""
        return [line.outcome for line in self.stages if line.outcome.exchanges]


def read(log: Log, answer_id: str) -> AnswerView:
    """The view of a logged answer. Raises NotFoundError."""
    answer = log.get(answer_id)
    feedback = log.feedback_of(answer.id)
    rows = table(answer, feedback.grades)
    return AnswerView(
        answer=answer,
        status=worst(stage.status for stage in answer.stages),
        total_ms=total_ms(answer),
        text=cited(answer),
        picture=bump(answer),
        columns=columns(answer),
        final=[row for row in rows if row.place is not None],
        others=[row for row in rows if row.place is None],
        stages=stages(answer),
        feedback=feedback,
        replay_of=log.summary(answer.id).replay_of,
        replays=log.replays(answer.id),
    )


def columns(answer: Answer) -> list[str]:
    """The stages that ranked candidates, in their order."""
    names = [*_BEFORE, *(stage.name for stage in answer.stages if stage.name not in AROUND_RERANK)]
    return [name for name in names if any(name in candidate.ranks for candidate in answer.candidates)]


def table(answer: Answer, grades: Mapping[int, int]) -> list[Row]:
    """Every candidate with each stage's rank and score, in the answer's order."""
    names = columns(answer)
    spans: dict[str, list[tuple[int, int]]] = {}
    for citation in answer.citations:
        spans.setdefault(citation.chunk_id, []).append((citation.start, citation.end))
    return [
        Row(
            number=number,
            place=one.ranks.get("final"),
            rose=_rose(one),
            cited=one.id in spans,
            grade=grades.get(number),
            name=label_of(one.chunk),
            chunk=one.chunk,
            cells=[Cell(one.ranks.get(name), one.scores.get(name)) for name in names],
            text=marked(one.chunk, spans.get(one.id, ())),
        )
        for number, one in enumerate(answer.candidates, start=1)
    ]


def stages(answer: Answer) -> list[StageLine]:
    """The stages one after the other, as parts of the whole time."""
    total = max(total_ms(answer), sum(stage.ms for stage in answer.stages)) or 1.0
    found, start = [], 0.0
    for stage in answer.stages:
        width = 100 * stage.ms / total
        found.append(StageLine(stage, round(start, 2), round(max(width, 0.4) if stage.ms else 0.0, 2)))
        start += width
    return found


def total_ms(answer: Answer) -> float:
    """The whole time; the stages' sum where nobody measured it."""
    return answer.timings_ms.get("total", sum(stage.ms for stage in answer.stages))


def _rose(candidate: Candidate) -> int | None:
    before, after = candidate.ranks.get("retrieval"), candidate.ranks.get("final")
    return None if before is None or after is None else before - after
