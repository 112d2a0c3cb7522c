"""The shapes of OpenAI's chat completions and of Cohere's and Jina's rerank APIs, as far as winnow has them.

Their fields that mean nothing here (a temperature, a seed) are ignored, since clients send them by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from storage.chat import sendable

ChatText = Annotated[str, Field(max_length=200_000)]
# Of all texts of a request together: what a chain reads of them costs minutes, whatever the limit of bytes.
MOST_CHARACTERS = 1_000_000


def _bounded(texts: Sequence[str]) -> None:
    """Raise ValueError where the texts are too long together."""
    if (total := sum(map(len, texts))) > MOST_CHARACTERS:
        raise ValueError(f"the texts have {total:,} characters together; at most {MOST_CHARACTERS:,}")


class TextPart(BaseModel):
    """A part of a message; only text is supported."""

    type: Literal["text"]
    text: ChatText


class ChatMessage(BaseModel):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: ChatText | Annotated[list[TextPart], Field(max_length=100)] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """With `include_usage` a last chunk has the token counts."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A conversation whose last message is the question."""

    model: Annotated[str, Field(min_length=1, max_length=2_200)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1_000)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        _bounded([message.text for message in self.messages])
        return self

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "winnow",
                    "messages": [{"role": "user", "content": "What can a reranker not do?"}],
                }
            ]
        }
    )


class ModelJson(BaseModel):
    """A collection as a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(BaseModel):
    """All models."""

    object: Literal["list"]
    data: list[ModelJson]


class ChatCompletion(BaseModel):
    """OpenAI's shape; `winnow` is winnow's own addition."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]
    winnow: dict[str, Any]


class DocumentText(BaseModel):
    """A document as a text in an object."""

    text: Annotated[str, Field(max_length=200_000)]


class DocumentFields(BaseModel):
    """A document as an object, as Cohere and Jina allow: with `text`, or the request's `rank_fields`."""

    text: Annotated[str, Field(max_length=200_000)] | None = None

    model_config = ConfigDict(extra="allow")

    def read(self, names: Sequence[str]) -> str:
        """The text of the named fields; of several, a line each. Raises ValueError without any."""
        held = {**(self.model_extra or {}), "text": self.text}
        found = {
            name: sendable(str(held[name])) for name in names if isinstance(held.get(name), str | int | float)
        }
        if not found:
            raise ValueError(
                f"a document has no text in {' or '.join(names)}; rank_fields names other fields"
            )
        if len(names) == 1:
            return found[names[0]]
        return "\n".join(f"{name}: {text}" for name, text in found.items())


class RerankRequest(BaseModel):
    """Documents to order by a question. `model`: a rerank spec; `winnow` means the settings' own.

    `rank_fields` names what is read of documents that are objects (Cohere's first API), by default `text`.
    `top_k` and `truncation` are Voyage's; with one of them the reply has Voyage's `data`, too.
    """

    query: Annotated[str, Field(min_length=1, max_length=20_000)]
    documents: Annotated[
        list[Annotated[str, Field(max_length=200_000)] | DocumentFields],
        Field(min_length=1, max_length=1_000),
    ]
    rank_fields: Annotated[list[str], Field(max_length=100)] | None = None
    model: Annotated[str, Field(max_length=2_100)] | None = None
    # vLLM's and LocalAI's clients send a 0 for "all"
    top_n: int | None = Field(default=None, ge=0)
    top_k: int | None = Field(default=None, ge=0)
    truncation: bool | None = None
    return_documents: bool | None = False

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "late-interaction",
                    "query": "Which fruit is rich in potassium?",
                    "documents": ["Apples keep well in a cellar.", "Bananas are rich in potassium."],
                    "top_n": 1,
                }
            ]
        }
    )

    @field_validator("query")
    @classmethod
    def _asks(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the query is empty")
        return value

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        _bounded(self.texts)
        return self

    @property
    def texts(self) -> list[str]:
        names = self.rank_fields or ["text"]
        return [one if isinstance(one, str) else one.read(names) for one in self.documents]


class TeiRequest(BaseModel):
    """Texts to order by a question, as clients of Text Embeddings Inference send them.

    The chain is the settings' own, which reads long texts in windows: nothing is truncated.
    """

    query: Annotated[str, Field(min_length=1, max_length=20_000)]
    texts: Annotated[list[Annotated[str, Field(max_length=200_000)]], Field(min_length=1, max_length=1_000)]
    return_text: bool | None = False

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        _bounded(self.texts)
        return self

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": "Which fruit?", "texts": ["Apples keep.", "Bananas rot."]}]}
    )


class TeiResult(BaseModel):
    """A text's place in the request, and its score (higher is better)."""

    index: int
    score: float
    text: str | None = None


class RerankResult(BaseModel):
    """A document's place in the request, and its score (higher is better)."""

    index: int
    relevance_score: float
    document: DocumentText | None = None


class VoyageResult(BaseModel):
    """A result as Voyage's clients read it: the document is a text."""

    index: int
    relevance_score: float
    document: str | None = None


class RerankReply(BaseModel):
    """The reply that Cohere's, Jina's and Voyage's clients read. `meta.warnings` lists problems.

    `meta.winnow.scores` is `stage` for scores of the last stage, or `rank` for numbers that only stand for
    ranks (1 for the best, then evenly less), if that stage gives none.
    """

    id: str
    model: str
    results: list[RerankResult]
    object: Literal["list"] | None = None
    data: list[VoyageResult] | None = None
    usage: dict[str, int]
    meta: dict[str, Any]
