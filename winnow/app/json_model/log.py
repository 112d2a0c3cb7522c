"""The JSON of the log: lists, exports, feedback and replays."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from storage.log.records import AnswerSummary, Feedback, Verdict
from storage.records import Answer, Status
from winnow.app.json_model.answers import AnswerJson
from winnow.app.json_model.base import Moment, ReasonData, Text, Wire


class SummaryJson(Wire):
    """One answer in a list; `status` is that of its worst stage, `judged` counts its graded passages."""

    id: str
    created_at: Moment
    question: Text
    collection: str
    rerank: Text
    answerer: str
    status: Status
    ms: float
    answered: bool
    cost: float | None
    feedback: Verdict | None
    judged: int
    replay_of: str | None


class FeedbackJson(Wire):
    """People's feedback on an answer; `grades` maps a candidate's place (from 1) to 0 … 3."""

    good: bool | None
    notes: list[Text]
    grades: dict[int, int]


class LoggedAnswerJson(AnswerJson):
    """An answer in an export of the log."""

    feedback: FeedbackJson
    replay_of: str | None

    @classmethod
    def of_entry(cls, answer: Answer, feedback: Feedback, summary: AnswerSummary) -> Self:
        """The JSON value of an answer with what the log knows about it."""
        own = dict(AnswerJson.of(answer))
        return cls.model_construct(**own, feedback=FeedbackJson.of(feedback), replay_of=summary.replay_of)


class ReplayJson(Wire):
    """A replay and its original. `recomputed` gives, for each stage that was computed again, the reason.

    `overlap` and `rbo` (0 to 1) compare the final passages.
    """

    original: AnswerJson
    replay: AnswerJson = Field(validation_alias="answer")
    recomputed: dict[str, Text]
    recomputed_reasons: dict[str, ReasonData] = Field(validation_alias="recomputed")
    overlap: float
    rbo: float
