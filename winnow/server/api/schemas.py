"""What questions look like over HTTP: what is asked, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from storage.records import Status

Scalar = str | int | float | bool | None
Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Name = Annotated[str, Field(max_length=100)]
SpecText = Annotated[str, Field(min_length=1, max_length=2_000)]

_QUESTION = "What can a reranker not do?"


class Strict(BaseModel):
    """A request of winnow's own: a field that it does not know is an error, not a silence."""

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


class Chosen(Strict):
    """What may be chosen for a question; what is left out is the settings' to say."""

    question: Text
    collection: Name | None = None
    rerank: SpecText | None = Field(default=None, description="A rerank spec: `cross-encoder:20,fusion`.")
    where: Annotated[str, Field(max_length=4_000)] | None = Field(
        default=None, description="A filter on the passages' metadata: `lang = 'zh' and year >= 2020`."
    )
    top_k_retrieve: int | None = Field(default=None, ge=1, le=1_000)
    top_k_rerank: int | None = Field(default=None, ge=1, le=100)
    min_score: float | None = Field(default=None, ge=-1, le=1)
    exact: bool | None = None
    expand: int | None = Field(default=None, ge=0, le=10)


class SearchRequest(Chosen):
    """A question that is searched, not answered."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"question": _QUESTION, "top_k_rerank": 3}]}, extra="forbid"
    )


class TurnGiven(Strict):
    """An earlier question and what was answered."""

    question: Text
    answer: Annotated[str, Field(max_length=20_000)]


class AskRequest(Chosen):
    """A question. It may follow others: `history`, or `follow_up`, a logged answer's id (or `last`)."""

    answerer: Literal["extractive", "openai"] | None = None
    history: Annotated[list[TurnGiven], Field(max_length=20)] | None = None
    follow_up: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    stream: bool = Field(default=False, description="Server-sent events: `piece` …, then `answer`.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": _QUESTION},
                {"question": "重排序能找回漏掉的段落吗？", "rerank": "late-interaction", "stream": True},
            ]
        },
        extra="forbid",
    )


class Usage(BaseModel):
    """What was spent; `cost` is null where it is not known."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


class Exchange(BaseModel):
    """One call of a chat model."""

    model: str
    messages: list[dict[str, str]]
    reply: str
    error: str
    ms: float
    usage: Usage


class Stage(BaseModel):
    """How a stage went. Anything but `ok` has a reason."""

    name: str
    status: Status
    reason: str
    calls: int
    ms: float
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    exchanges: list[Exchange] | None = None


class Passage(BaseModel):
    """A passage of a document: characters `start` to `end` of its text."""

    chunk_id: str
    document: str
    document_id: str
    title: str
    headings: list[str]
    page: int | None
    start: int
    end: int
    legible: bool
    text: str
    metadata: dict[str, Scalar]


class Candidate(Passage):
    """A passage with every stage's rank (from 1) and score; null where a stage did not see it."""

    ranks: dict[str, int | None]
    scores: dict[str, float | None]


class Citation(BaseModel):
    """Where a marker such as `[1]` points."""

    marker: int
    chunk_id: str
    document: str
    document_id: str
    title: str
    page: int | None
    headings: list[str]
    start: int
    end: int
    quote: str


class FollowUp(BaseModel):
    """How a question that leans on earlier ones was understood."""

    question: str
    prompt: str
    answer_id: str


class Answer(BaseModel):
    """An answer with everything that happened on the way."""

    id: str
    question: str
    follow_up: FollowUp | None
    answer: str
    answered: bool
    answerer: str
    collection: str
    created_at: str
    rerank: str
    top_k_retrieve: int
    top_k_rerank: int
    citations: list[Citation]
    candidates: list[Candidate]
    neighbours: list[Passage]
    stages: list[Stage]
    timings_ms: dict[str, float]
    usage: Usage
    warnings: list[str]
    prompt: str
    fingerprints: dict[str, str]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "5d0c2b7e91f3a846",
                    "question": _QUESTION,
                    "follow_up": None,
                    "answer": "A reranker cannot bring back a passage that retrieval missed. [1]",
                    "answered": True,
                    "answerer": "extractive",
                    "collection": "default",
                    "created_at": "2026-11-22T20:00:00+00:00",
                    "rerank": "late-interaction",
                    "top_k_retrieve": 50,
                    "top_k_rerank": 5,
                    "citations": [],
                    "candidates": [],
                    "neighbours": [],
                    "stages": [],
                    "timings_ms": {"retrieval": 9.1, "late-interaction": 3.2, "total": 21.4},
                    "usage": {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": None},
                    "warnings": [],
                    "prompt": "",
                    "fingerprints": {},
                }
            ]
        }
    )


class Shown(BaseModel):
    """A final passage as an answerer sees it."""

    chunk_id: str
    start: int
    end: int
    text: str


class SearchResult(BaseModel):
    """Every candidate, the final ones first, and how the stages went."""

    question: str
    collection: str
    candidates: list[Candidate]
    passages: list[Shown]
    neighbours: list[Passage]
    stages: list[Stage]
    warnings: list[str]
