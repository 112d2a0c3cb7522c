"""Requests of the HTTP API, and the replies that only it gives; answers are in `winnow.app.json_model`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from storage.errors import BadInputError
from storage.log.records import AnswerFilter, ExportFormat
from storage.records import Status
from winnow.app.json_model.answers import AnswerJson
from winnow.app.json_model.log import FeedbackJson, SummaryJson
from winnow.app.json_model.passages import DocumentJson, PassageJson
from winnow.app.setting_defaults import Answerer, PartsName

Short = Annotated[str, Field(max_length=2_000)]
Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Name = Annotated[str, Field(max_length=100)]
SpecText = Annotated[str, Field(min_length=1, max_length=2_000)]

_QUESTION = "What can a reranker not do?"


class Strict(BaseModel):
    """A request of winnow's own: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """An error (RFC 9457). `error` is the same in OpenAI's shape, for its clients."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    way_out: str = ""
    errors: list[dict[str, str]] = Field(default_factory=list)
    error: dict[str, Any] = Field(default_factory=dict)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:winnow:error:not-found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no collection 'papers'",
                    "code": "not-found",
                    "way_out": "Make it: winnow ingest PATH -c papers",
                }
            ]
        }
    )


class SearchRequest(Strict):
    """A question to search with; the settings decide what is left out."""

    question: Text
    collection: Name | None = None
    rerank: SpecText | None = Field(default=None, description="A rerank spec: `cross-encoder:20,fusion`.")
    where: Annotated[str, Field(max_length=4_000)] | None = Field(
        default=None, description="A filter on the passages' metadata: `lang = 'zh' and pages >= 2`."
    )
    top_k_retrieve: int | None = Field(default=None, ge=1, le=1_000)
    top_k_rerank: int | None = Field(default=None, ge=1, le=100)
    min_score: float | None = Field(default=None, ge=-1, le=1)
    exact: bool | None = None
    expand: int | None = Field(default=None, ge=0, le=10)
    parts: PartsName | None = Field(default=None, description="How a question that asks several is divided.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": _QUESTION, "top_k_rerank": 3}]})


class TurnGiven(Strict):
    """An earlier question and what was answered."""

    question: Text
    answer: Annotated[str, Field(max_length=20_000)]


class AskRequest(SearchRequest):
    """A question. It may follow others: `history`, or `follow_up`, a logged answer's id (or `last`)."""

    answerer: Answerer | None = None
    history: Annotated[list[TurnGiven], Field(max_length=20)] | None = None
    follow_up: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    stream: bool = Field(default=False, description="Server-sent events: `piece` …, then `answer`.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": _QUESTION},
                {"question": "重排序能找回漏掉的段落吗？", "rerank": "late-interaction", "stream": True},
            ]
        }
    )


class AnswerQuery(BaseModel):
    """The answers that a query string picks."""

    text: str = Field(default="", max_length=1_000, description="All its words occur.")
    since: datetime | None = Field(default=None, description="Without an offset: UTC.")
    until: datetime | None = Field(default=None, description="Without an offset: UTC.")
    collection: Short | None = None
    strategy: Short | None = Field(default=None, description="The spec, or part of it.")
    answerer: Short | None = None
    status: Status | None = None
    answered: bool | None = None
    feedback: Literal["good", "bad", "judged", "any", "none"] | None = None
    min_ms: float | None = Field(default=None, ge=0)
    min_cost: float | None = Field(default=None, ge=0)
    replays: bool | None = None

    def where(self) -> AnswerFilter:
        """The filter of the log. Raises BadInputError for a moment beyond the calendar."""
        given = self.model_dump(include=set(AnswerQuery.model_fields))
        return AnswerFilter(**{**given, "since": _in_utc(self.since), "until": _in_utc(self.until)})


class ListQuery(AnswerQuery):
    """A page of the answers that a query string picks."""

    limit: int = Field(default=20, ge=1, le=500)
    offset: int = Field(default=0, ge=0, le=10_000_000)


class ExportQuery(AnswerQuery):
    """An export of the answers that a query string picks."""

    form: ExportFormat = "jsonl"


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is None:
        return moment and moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise BadInputError(f"{moment.isoformat()} is not a moment that can be asked for") from error


class FeedbackRequest(Strict):
    """A verdict, a note, grades of passages: at least one of them."""

    good: bool | None = None
    note: Annotated[str, Field(max_length=10_000)] = ""
    grades: Annotated[dict[int, Annotated[int, Field(ge=0, le=3)]], Field(max_length=1_000)] = Field(
        default_factory=dict
    )

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"good": True, "note": "exact", "grades": {"1": 3, "2": 0}}]}
    )


class ReplayRequest(Strict):
    """Run the logged candidates through another chain; without a spec through the logged one."""

    rerank: SpecText | None = None
    answerer: Answerer | None = None
    top_k: int | None = Field(default=None, ge=1, le=100)

    model_config = ConfigDict(json_schema_extra={"examples": [{"rerank": "none"}]})


class AnswerPage(BaseModel):
    """A page of the log, newest first."""

    total: int
    offset: int
    answers: list[SummaryJson]


class AnswerWithFeedback(BaseModel):
    """A logged answer with its feedback and its replays."""

    answer: AnswerJson
    feedback: FeedbackJson
    replay_of: str | None
    replays: list[SummaryJson]


class CollectionJson(BaseModel):
    """A collection and what it was built with. `built_with` is null where that cannot be read.

    `note` says how to move it to the present default encoder where a former one built it.
    """

    name: str
    default: bool
    built_with: dict[str, Any] | None
    note: str | None


class CollectionList(BaseModel):
    """All collections."""

    collections: list[CollectionJson]


class CollectionFactsJson(CollectionJson):
    """A collection with its size and the report of its last ingest run."""

    passages: int
    documents: dict[str, int] = Field(description="How many documents have each status.")
    last_run: dict[str, Any] | None


class DocumentPage(BaseModel):
    """A page of a collection's documents, by path."""

    collection: str
    total: int
    offset: int
    documents: list[DocumentJson]


class DocumentWithPassages(DocumentJson):
    """A document and its passages, in its order."""

    collection: str
    passages: list[PassageJson]


class Deleted(BaseModel):
    """The path of a deleted document."""

    deleted: str


class IngestProgress(BaseModel):
    """The progress of a job; estimates are null until there are any."""

    documents: int
    documents_total: int
    bytes_done: int
    bytes_total: int
    passages: int
    passages_per_second: float
    seconds_left: float | None
    document: str


class IngestJob(BaseModel):
    """An ingest job. `report` is that of the run, when it is done; `error` a problem, when it failed."""

    id: str
    collection: Name
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    files: list[str]
    created_at: str
    progress: IngestProgress | None
    report: dict[str, Any] | None
    error: dict[str, Any] | None


class IngestJobs(BaseModel):
    """The jobs since the server began, newest first."""

    jobs: list[IngestJob]


class Health(BaseModel):
    """`ok` where the process answers."""

    status: Literal["ok"]
    version: str


class Readiness(BaseModel):
    """`ready` where models are loaded and the store answers.

    `collections` counts them; null on a server that needs tokens.
    """

    status: Literal["ready"]
    collections: int | None
