"""The JSON of answers and searches, with the stages that they went through."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from storage.records import AROUND_RERANK, Status
from winnow.app.json_model.base import (
    Moment,
    Ms,
    Object,
    ReasonCode,
    ReasonData,
    ReasonValues,
    Text,
    Wire,
    encodable,
    inside,
    renamed,
)
from winnow.app.json_model.passages import CandidateJson, CitationJson, PassageJson, ShownJson

# Every candidate names these ranks, null where the stage did not see it; each rerank stage adds its own.
_RETRIEVAL_RANKS = ("dense", "lexical", "retrieval")


class UsageJson(Wire):
    """Calls, tokens and cost; `cost` is null if unknown."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    model_config = ConfigDict(alias_generator=inside("usage"))


class ExchangeJson(Wire):
    """One call of a chat model; `error` says why there is no usable reply."""

    model: str
    messages: list[dict[str, str]]
    reply: Text
    error: Text
    ms: Ms
    usage: UsageJson

    @field_validator("messages", mode="before")
    @classmethod
    def _by_role(cls, messages: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
        return [{"role": role, "content": encodable(content)} for role, content in messages]


class StageJson(UsageJson):
    """The outcome of a stage. Anything but `ok` has a reason: a sentence, and the same as code and values.

    `exchanges` are null unless they were kept and asked for.
    """

    name: str
    status: Status
    reason: Text
    reason_code: ReasonCode = Field(validation_alias="reason")
    reason_values: ReasonValues = Field(validation_alias="reason")
    ms: Ms
    exchanges: list[ExchangeJson] | None

    @field_validator("exchanges", mode="before")
    @classmethod
    def _on_request(cls, exchanges: Any, info: ValidationInfo) -> Any:
        return exchanges if (info.context or {}).get("exchanges") else None


class FollowUpJson(Wire):
    """The self-contained form of a follow-up; `answer_id` is the logged answer before it."""

    question: Text
    prompt: Text
    answer_id: str


class RankedJson(Wire):
    """Candidates, the final ones first, and how the stages went.

    `neighbours` were joined to the final passages. `warnings` say what did not go as asked;
    `warning_reasons` are the same as data, in the same order.
    """

    question: Text
    collection: str
    candidates: list[CandidateJson]
    neighbours: list[PassageJson]
    stages: list[StageJson]
    warnings: list[Text]
    warning_reasons: list[ReasonData] = Field(validation_alias="warnings")

    @model_validator(mode="after")
    def _name_every_stage(self) -> Self:
        reranks = [stage.name for stage in self.stages if stage.name not in AROUND_RERANK]
        scored = dict.fromkeys([*_RETRIEVAL_RANKS, *reranks])
        for candidate in self.candidates:
            # a stage that a user's own part added under a name of its own is kept as well
            candidate.ranks = {**scored, "final": None, **candidate.ranks}
            candidate.scores = {**scored, **candidate.scores}
        return self


class AnswerJson(RankedJson):
    """An answer with everything that happened on the way.

    `weak_match`: what is quoted may well not answer the question, or a part of it; a reason of the stage
    `generation` says how sure that is.
    """

    id: str
    follow_up: FollowUpJson | None
    text: Text
    answer: Text = renamed("text")
    answered: bool
    weak_match: bool
    answerer: str
    created_at: Moment
    rerank: Text
    top_k_retrieve: int
    top_k_rerank: int
    citations: list[CitationJson]
    timings_ms: dict[str, float]
    usage: UsageJson
    prompt: Text
    fingerprints: Object

    @field_validator("weak_match", mode="before")
    @classmethod
    def _is_weak(cls, remark: Any) -> bool:
        return bool(remark)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "5d0c2b7e91f3a846",
                    "question": "What can a reranker not do?",
                    "text": "A reranker cannot bring back a passage that retrieval missed. [1]",
                    "answered": True,
                    "weak_match": False,
                    "answerer": "extractive",
                    "rerank": "late-interaction",
                    "timings_ms": {"retrieval": 9.1, "late-interaction": 3.2, "total": 21.4},
                    "warnings": [],
                }
            ]
        }
    )


class SearchJson(RankedJson):
    """A search: every candidate, and the final passages."""

    passages: list[ShownJson]


class RankedTextJson(Wire):
    """A text and its place (from 0) among those that were given."""

    index: int
    text: Text
    score: float | None


class RankedTextsJson(Wire):
    """Texts reranked without a store, best first."""

    results: list[RankedTextJson]
    stages: list[StageJson] = Field(validation_alias="outcomes")
