"""The sections of the settings: what can be set, its defaults and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from rerank.llm.budget import Budget
from storage.chat import Price
from storage.errors import BadInputError
from storage.qdrant.tuning import Tuning

Answerer = Literal["extractive", "openai"]
EngineName = Literal["local", "ray"]

# How many candidates are retrieved, and how many of them reranking keeps.
TOP_K_RETRIEVE = 50
TOP_K_RERANK = 5


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSettings(_Section):
    """Where the vectors live. Without `url`: embedded, in the data folder. `tuning` is the engine's."""

    url: str | None = None
    api_key: SecretStr | None = None
    prefer_grpc: bool = True
    timeout_s: float = Field(default=30, gt=0)
    tuning: Tuning = Tuning()


class EncoderSettings(_Section):
    """The dense encoder: a hub id (`NAME@COMMIT` pins a revision) or a local folder, run on `device`.

    `provider = "openai"` sends all texts to the embeddings endpoint at `base_url` instead, whose `model`
    reads `max_tokens`. `dim` shortens the vectors, for models trained so. The default model's token vectors
    are projected to 128 dimensions; `token_dim = 384` leaves them as they are. A prompt replaces what the
    model wants before a question or a passage; an empty one leaves it out.
    """

    provider: Literal["local", "openai"] = "local"
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dim: int | None = Field(default=None, ge=1, le=65_536)
    token_dim: int | None = Field(default=None, ge=8, le=65_536)
    query_prompt: str | None = None
    passage_prompt: str | None = None
    base_url: str = "https://api.openai.com/v1"
    api_key: SecretStr | None = None
    timeout_s: float = Field(default=60, gt=0)
    max_retries: int = Field(default=5, ge=0, le=100)
    max_tokens: int = Field(default=8_191, ge=64)


class IngestSettings(_Section):
    """`token_vectors`: store each passage's, so that late interaction reranks in milliseconds.

    `engine`: this machine, or a Ray cluster (extra `[distributed]`, and `store.url`). `workers` parse (half
    of the cores); on Ray as many encode, each with `gpus` of a GPU.
    """

    token_vectors: bool = True
    engine: EngineName = "local"
    workers: int | None = Field(default=None, ge=1, le=10_000)
    gpus: float = Field(default=0, ge=0)


class RetrievalSettings(_Section):
    """`mode` switches a leg off. Candidates whose cosine is below `min_score` are cut.

    `expand`: so many passages before and after each final one are joined to it for the answerer.
    """

    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    top_k: int = Field(default=TOP_K_RETRIEVE, ge=1, le=10_000)
    min_score: float | None = Field(default=None, ge=-1, le=1)
    expand: int = Field(default=0, ge=0, le=10)

    def chosen(self, **wishes: float | None) -> RetrievalSettings:
        """These settings with a question's own wishes; None changes nothing. Raises BadInputError."""
        given = {name: wish for name, wish in wishes.items() if wish is not None}
        try:
            return RetrievalSettings.model_validate({**self.model_dump(), **given})
        except ValidationError as error:
            raise BadInputError(explained(error)) from error


class RerankSettings(_Section):
    """`spec` names a strategy or a chain, as in `cross-encoder:20,listwise:5`.

    `on_failure`: a failing stage is stepped over and flagged, or raises. `in_flight` bounds the calls that
    are under way at once. `cache` keeps paid verdicts. `prompts` is a folder of templates that replace
    winnow's.
    """

    spec: str = "fusion"
    top_k: int = Field(default=TOP_K_RERANK, ge=1, le=1_000)
    on_failure: Literal["fallback", "raise"] = "fallback"
    in_flight: int = Field(default=16, ge=1, le=1_000)
    cache: bool = True
    cross_encoder: str = "cross-encoder/ms-marco-MiniLM-L6-v2"
    prompts: Path | None = None
    budget: Budget = Budget()
    api_keys: Mapping[str, SecretStr] = Field(default_factory=dict)


class LlmSettings(_Section):
    """The chat model, at any OpenAI-compatible endpoint. Only what names it asks it.

    `prices`: by model name, for a million tokens and for each call; without them costs are not known.
    """

    model: str = "gpt-4o-mini"
    base_url: str = "https://api.openai.com/v1"
    api_key: SecretStr | None = None
    timeout_s: float = Field(default=60, gt=0)
    max_retries: int = Field(default=2, ge=0, le=10)
    prices: Mapping[str, Price] = Field(default_factory=dict)


class AnswerSettings(_Section):
    """Who answers: `extractive` quotes the passages, `openai` asks the chat model of `[llm]`.

    `max_tokens` bounds a reply, `prompt_tokens` a prompt, counted by the model's own `tokenizer` (the path of
    its tokenizer.json) or estimated. `order`: where the passages stand in the prompt. `templates`: a folder
    that replaces winnow's. Below `min_score` of the last stage that gives scores there is no answer.
    """

    answerer: Answerer = "extractive"
    max_tokens: int = Field(default=1024, ge=16)
    prompt_tokens: int = Field(default=6000, ge=256)
    tokenizer: Path | None = None
    order: Literal["best-first", "both-ends"] = "best-first"
    templates: Path | None = None
    min_score: float | None = None


class LogSettings(_Section):
    """The SQLite log. `url` (SQLAlchemy's form) moves it elsewhere; `enabled = false` logs nothing.

    `llm_calls` keeps every exchange with a chat model. `redact`: regular expressions whose matches are never
    written.
    """

    enabled: bool = True
    url: str | None = None
    llm_calls: bool = False
    redact: tuple[str, ...] = ()


class TracingSettings(_Section):
    """OpenTelemetry spans of every question (extra `[otel]`), with what people wrote only under `content`.

    They go to the program's own TracerProvider; where there is none (the shell), over OTLP/HTTP to
    `endpoint`, such as `http://localhost:4318`, or to where OTEL_EXPORTER_OTLP_ENDPOINT says.
    """

    enabled: bool = False
    content: bool = False
    endpoint: str | None = None


class ServerSettings(_Section):
    """`winnow serve`. `concurrency` questions are worked on at once, `queue` more wait; the next get a 429.

    `timeout_s` is for one question, waiting included; `per_minute` is what one token (or a client without
    one) may ask for, where tokens are asked for. `names` are further host names that the server is called by:
    with any, tokens are asked for on the loopback, too. `specs` may be named by a request though they name
    models, addresses or rerank APIs. Sizes in bytes.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65_535)
    concurrency: int = Field(default=8, ge=1, le=1_000)
    queue: int = Field(default=64, ge=0, le=100_000)
    timeout_s: float = Field(default=120, gt=0)
    per_minute: int = Field(default=1_200, ge=1)
    body_bytes: int = Field(default=4 << 20, ge=1_024)
    upload_bytes: int = Field(default=256 << 20, ge=1_024)
    names: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()


def explained(error: ValidationError) -> str:
    """What is wrong with which key, in one line."""
    return "; ".join(_explained_one(problem) for problem in error.errors())


def _explained_one(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {key!r}"
    got = "" if "key" in key else f" (got {problem['input']!r})"  # a key never reaches a terminal
    return f"{key}: {problem['msg']}{got}"
