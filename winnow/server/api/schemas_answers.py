"""What the log, the collections and the ingest jobs look like over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from storage.records import Status
from winnow.server.api.schemas import Answer, Name, Passage, SpecText, Strict

Verdict = Literal["good", "bad"]


class Summary(BaseModel):
    """One answer in a list; `status` is that of its worst stage."""

    id: str
    created_at: str
    question: str
    collection: str
    rerank: str
    answerer: str
    status: Status
    ms: float
    answered: bool
    cost: float | None
    feedback: Verdict | None
    judged: int
    replay_of: str | None


class Summaries(BaseModel):
    """A page of the log, newest first."""

    total: int
    offset: int
    answers: list[Summary]


class Feedback(BaseModel):
    """What people thought; `grades` maps a candidate's place (from 1) to 0 … 3."""

    good: bool | None
    notes: list[str]
    grades: dict[int, int]


class LoggedAnswer(BaseModel):
    """An answer of the log, with what is known beside it."""

    answer: Answer
    feedback: Feedback
    replay_of: str | None
    replays: list[Summary]


class FeedbackRequest(Strict):
    """A verdict, a note, grades of passages: at least one of them."""

    good: bool | None = None
    note: Annotated[str, Field(max_length=10_000)] = ""
    grades: Annotated[dict[int, Annotated[int, Field(ge=0, le=3)]], Field(max_length=1_000)] = Field(
        default_factory=dict
    )

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"good": True, "note": "exact", "grades": {"1": 3, "2": 0}}]},
        extra="forbid",
    )


class ReplayRequest(Strict):
    """Run the logged candidates through another chain; without a spec through the logged one."""

    rerank: SpecText | None = None
    answerer: Literal["extractive", "openai"] | None = None
    top_k: int | None = Field(default=None, ge=1, le=100)

    model_config = ConfigDict(json_schema_extra={"examples": [{"rerank": "none"}]}, extra="forbid")


class Replay(BaseModel):
    """A replay beside its original; `recomputed` says of each stage that was computed anew, why."""

    original: Answer
    replay: Answer
    recomputed: dict[str, str]
    overlap: float
    rbo: float


class Collection(BaseModel):
    """A collection and what it was built with. `built_with` is null where that cannot be read."""

    name: str
    default: bool
    built_with: dict[str, Any] | None


class Collections(BaseModel):
    """All collections."""

    collections: list[Collection]


class CollectionFacts(Collection):
    """A collection with its size and the report of its last ingest run."""

    passages: int
    documents: dict[str, int] = Field(description="How many documents have each status.")
    last_run: dict[str, Any] | None


class DocumentRow(BaseModel):
    """A document of a collection."""

    id: str
    path: str
    status: str
    reason: str
    title: str
    mime: str
    content_hash: str
    duplicate_of: str | None
    warnings: list[str]
    chunks: list[str]


class Documents(BaseModel):
    """A page of a collection's documents, by path."""

    collection: str
    total: int
    offset: int
    documents: list[DocumentRow]


class DocumentWithPassages(DocumentRow):
    """A document and its passages, in its order."""

    collection: str
    passages: list[Passage]


class Deleted(BaseModel):
    """What was deleted."""

    deleted: str


class IngestProgress(BaseModel):
    """How far a job is; rates per second, null where nothing can be said yet."""

    documents: int
    documents_total: int
    bytes_done: int
    bytes_total: int
    passages: int
    passages_per_second: float
    seconds_left: float | None
    document: str


class Job(BaseModel):
    """An ingest job. `report` is that of the run, when it is done; `error` a problem, when it failed."""

    id: str
    collection: Name
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    files: list[str]
    created_at: str
    progress: IngestProgress | None
    report: dict[str, Any] | None
    error: dict[str, Any] | None


class JobList(BaseModel):
    """The jobs since the server began, newest first."""

    jobs: list[Job]


class Health(BaseModel):
    """`ok` where the process answers."""

    status: Literal["ok"]
    version: str


class Readiness(BaseModel):
    """`ready` where models are loaded and the store answers."""

    status: Literal["ready"]
    collections: int
