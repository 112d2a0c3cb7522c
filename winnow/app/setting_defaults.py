"""The sections of the settings: names, defaults and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from rerank.llm.budget import Budget
from retrieval.models.hub import DEFAULT_MODEL
from storage.chat import MAX_REPLY_BYTES, Price
from storage.errors import BadInputError
from storage.qdrant.tuning import Tuning


def answerer_name(name: object) -> Any:
    """The answerer's name; `chat` is another for `openai`, whose protocol other servers speak, too."""
    return "openai" if name == "chat" else name


Answerer = Annotated[Literal["extractive", "openai"], BeforeValidator(answerer_name)]
EngineName = Literal["local", "ray"]
ContextName = Literal["off", "summary", "chat"]
PartsName = Literal["clauses", "decompose", "multi-query", "hyde", "off"]
# the ways of dividing a question that ask the chat model
CHAT_PARTS = ("decompose", "multi-query", "hyde")

# How many candidates are retrieved, and how many of them reranking keeps.
TOP_K_RETRIEVE = 50
TOP_K_RERANK = 5

# Names in a query whose values are credentials.
_CREDENTIAL = re.compile(r"key|token|secret|sig|auth|pass|code", re.IGNORECASE)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSettings(_Section):
    """The vector store. Without `url`: embedded, in the data folder. `tuning` is the engine's.

    `url` is the address of a Qdrant server, or several of one cluster (a list, or with commas in between).
    gRPC is spoken where `grpc_port` is given or the URL's port is Qdrant's own, 6333.
    """

    url: str | None = None
    grpc_port: int | None = Field(default=None, ge=1, le=65_535)
    api_key: SecretStr | None = None
    prefer_grpc: bool = True
    timeout_s: float = Field(default=30, gt=0)
    tuning: Tuning = Tuning()

    @field_validator("url", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        """Join a list; an empty text is no address."""
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        return value or None


class EncoderSettings(_Section):
    """The dense encoder: a hub id (`NAME@COMMIT` pins a revision) or a local folder, run on `device`.

    `provider = "openai"` sends all texts to the embeddings endpoint at `base_url` instead, whose `model`
    reads `max_tokens`. `dim` shortens the vectors, for models trained for that. `token_dim` is the width of
    the token vectors, where a projection to it is known (MiniLM: 128). A prompt replaces the model's own
    before a question or a passage; an empty one leaves it out.
    """

    provider: Literal["local", "openai"] = "local"
    model: str = DEFAULT_MODEL
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
    """`token_vectors` stores each passage's, so that late interaction reranks in milliseconds.

    `engine`: this machine, or a Ray cluster (extra `[distributed]`, and `store.url`). `workers` parse (half
    of the cores); on Ray as many encode, each with `gpus` of a GPU. `ocr`: scanned pages are read (extra
    `[ocr]`). `private`: sites may be fetched from addresses of this machine and its network.

    `context`: the line about each passage that is indexed with it, its document's `summary` or the `chat`
    model's words, which may spend `context_budget` a run.
    """

    token_vectors: bool = True
    engine: EngineName = "local"
    workers: int | None = Field(default=None, ge=1, le=10_000)
    gpus: float = Field(default=0, ge=0)
    ocr: bool = False
    private: bool = False
    context: ContextName = "off"
    context_budget: Budget = Budget()


class RetrievalSettings(_Section):
    """`mode` switches a leg off. Candidates whose cosine is below `min_score` are cut.

    `expand` joins this many passages before and after each final one to it, for the answerer.
    `parts` divides a question that asks several: by its `clauses`, or with the chat model, which lists its
    sub-questions (`decompose`), says it in other words (`multi-query`), or writes a passage that would answer
    it, to search with (`hyde`).
    """

    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    top_k: int = Field(default=TOP_K_RETRIEVE, ge=1, le=10_000)
    min_score: float | None = Field(default=None, ge=-1, le=1)
    expand: int = Field(default=0, ge=0, le=10)
    parts: PartsName = "clauses"

    def chosen(self, **wishes: float | str | None) -> RetrievalSettings:
        """These settings with a question's own wishes; None changes nothing. Raises BadInputError."""
        given = {name: wish for name, wish in wishes.items() if wish is not None}
        try:
            return RetrievalSettings.model_validate({**self.model_dump(), **given})
        except ValidationError as error:
            raise BadInputError(explained(error)) from error


class RerankSettings(_Section):
    """`spec` names a strategy or a chain, as in `cross-encoder:20,listwise:5`.

    `on_failure`: a failing stage is skipped and flagged, or raises. `in_flight` limits concurrent calls.
    `cache` keeps paid verdicts. `prompts` is a folder of templates that replace winnow's. `instruction` says
    what relevance means, to models and APIs that take one. `trust_remote_code` runs what code a model's
    folder brings along.
    """

    spec: str = "balanced"
    top_k: int = Field(default=TOP_K_RERANK, ge=1, le=1_000)
    on_failure: Literal["fallback", "raise"] = "fallback"
    in_flight: int = Field(default=16, ge=1, le=1_000)
    cache: bool = True
    cross_encoder: str = "cross-encoder/ms-marco-MiniLM-L12-v2"
    prompts: Path | None = None
    instruction: str | None = None
    trust_remote_code: bool = False
    budget: Budget = Budget()
    api_keys: Mapping[str, SecretStr] = Field(default_factory=dict)


# Of a file that winnow serves itself: what small models hold, and what two cores read in seconds.
_GGUF_CONTEXT = 4_096


class LlmSettings(_Section):
    """The chat model, at any OpenAI-compatible endpoint. It is used only where it is named.

    `prices`: by model name, for a million tokens and for each call; without them costs are unknown.
    `headers`, `query` and `body` go with every request (Azure's `api-key` and `api-version`,
    `reasoning_effort`, `chat_template_kwargs`); a field of `body` replaces winnow's own. No reply larger
    than `max_reply_bytes` is read, of a rerank API neither. `context`: the tokens that the model holds,
    prompt and reply; prompts are cut to it. `gguf`: a model's file, which winnow serves itself.
    """

    model: str = "gpt-4o-mini"
    gguf: Path | None = None
    context: int | None = Field(default=None, ge=512)
    base_url: str = "https://api.openai.com/v1"
    api_key: SecretStr | None = None
    timeout_s: float = Field(default=60, gt=0)
    max_retries: int = Field(default=2, ge=0, le=10)
    prices: Mapping[str, Price] = Field(default_factory=dict)
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    query: Mapping[str, SecretStr] = Field(default_factory=dict)
    body: Mapping[str, Any] = Field(default_factory=dict)
    max_reply_bytes: int = Field(default=MAX_REPLY_BYTES, ge=1_024)

    @property
    def name(self) -> str:
        """The model in use."""
        return self.gguf.stem if self.gguf else self.model

    @property
    def place(self) -> str:
        """Return the address of the running model."""
        return str(self.gguf) if self.gguf else self.base_url

    @property
    def holds(self) -> int | None:
        """The tokens of prompt and reply together; None where nothing is known."""
        return self.context or (_GGUF_CONTEXT if self.gguf else None)

    @field_validator("body")
    @classmethod
    def _leaves_the_question(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raise ValueError for fields without which a request is another one."""
        if taken := sorted(body.keys() & {"model", "messages", "stream", "n", "tools", "tool_choice"}):
            raise ValueError(f"winnow itself sets {', '.join(taken)}")
        return body

    def credentials(self) -> set[str]:
        """The values that may be credentials: every header, and a query's by its name."""
        named = {name: value.get_secret_value() for name, value in self.query.items()}
        with suppress(ValueError):
            named |= dict(parse_qsl(urlsplit(self.base_url).query))
        found = {value for name, value in named.items() if _CREDENTIAL.search(name)}
        return found | {value.get_secret_value() for value in self.headers.values()}


class AnswerSettings(_Section):
    """The answerer: `extractive` quotes the passages, `openai`, or `chat`, asks that of `[llm]`.

    `max_tokens` limits a reply, `prompt_tokens` a prompt, counted by the model's own `tokenizer` (the path of
    its tokenizer.json) or estimated. `order` is that of the passages in the prompt. `templates`: a folder
    that replaces winnow's. Below `min_score` of the last stage that gives scores there is no answer. `check`:
    sentences of a model whose quotations, numbers or names the cited passages lack are flagged or dropped.
    """

    answerer: Answerer = "extractive"
    max_tokens: int = Field(default=1024, ge=16)
    prompt_tokens: int = Field(default=6000, ge=256)
    tokenizer: Path | None = None
    order: Literal["best-first", "both-ends"] = "best-first"
    templates: Path | None = None
    min_score: float | None = None
    check: Literal["flag", "drop", "off"] = "flag"


class LogSettings(_Section):
    """The SQLite log. `url` (SQLAlchemy's form) moves it; `enabled = false` logs nothing.

    `llm_calls` keeps every exchange with a chat model. `redact` are regular expressions whose matches are
    never written.
    """

    enabled: bool = True
    url: str | None = None
    llm_calls: bool = False
    redact: tuple[str, ...] = ()


class TracingSettings(_Section):
    """OpenTelemetry spans of every question (extra `[otel]`); `content` adds people's texts.

    They go to the program's own TracerProvider; without one (in the shell), over OTLP/HTTP to `endpoint`,
    such as `http://localhost:4318`, or to OTEL_EXPORTER_OTLP_ENDPOINT.
    """

    enabled: bool = False
    content: bool = False
    endpoint: str | None = None


class ServerSettings(_Section):
    """`winnow serve`. `concurrency` questions run at once, `queue` more wait; the next get a 429.

    `timeout_s` is for one question, waiting included; `per_minute` limits the requests of one token (or of
    a client without one) on a server that requires tokens. `names` are further host names of the server:
    with any, the loopback requires tokens too. Requests may name `specs` although they name models,
    addresses or rerank APIs. Sizes in bytes.
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


class McpSettings(_Section):
    """`winnow mcp`. Agents may ingest what lies below the folders `ingest`; without any, they cannot."""

    ingest: tuple[Path, ...] = ()


def explained(error: ValidationError) -> str:
    """Return the problems of a validation in one line, each with its key."""
    return "; ".join(_problem(problem) for problem in error.errors())


def _problem(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {key!r}"
    secret = "key" in key or key.startswith(("llm.headers", "llm.query"))
    got = "" if secret else f" (got {problem['input']!r})"  # a key never reaches a terminal
    return f"{key}: {problem['msg']}{got}"
