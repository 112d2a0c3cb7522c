"""Settings: flags over environment (`WINNOW_SECTION__KEY`) over `winnow.toml` over the profile's defaults.

This is the only module that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rerank.budget import Budget
from storage.chat import Price
from storage.errors import BadInputError, SettingsError
from storage.tuning import Tuning

FILE = "winnow.toml"
PREFIX = "WINNOW_"

Profile = Literal["local", "multilingual", "openai"]
Answerer = Literal["extractive", "openai"]
EngineName = Literal["local", "ray"]
# Where a value came from, strongest first.
Origin = Literal["flag", "environment", "file", "profile", "default"]

_ORIGINS = get_args(Origin)

# What a profile sets where file, environment and flags are silent.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "local": {},
    "multilingual": {
        "encoder": {"model": "BAAI/bge-m3"},
        "rerank": {"spec": 'cross-encoder(model="BAAI/bge-reranker-v2-m3")'},
    },
    # an endpoint gives no token vectors, so late interaction cannot make the first cut
    "openai": {
        "encoder": {"provider": "openai", "model": "text-embedding-3-small"},
        "rerank": {"spec": "none:20,listwise"},
        "answer": {"answerer": "openai"},
    },
}

# Keys that other software leaves in the environment. winnow mentions them and sends them nowhere.
_FOREIGN_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "COHERE_API_KEY", "JINA_API_KEY", "VOYAGE_API_KEY")


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
    top_k: int = Field(default=50, ge=1, le=10_000)
    min_score: float | None = Field(default=None, ge=-1, le=1)
    expand: int = Field(default=0, ge=0, le=10)

    def chosen(self, given: Mapping[str, object]) -> RetrievalSettings:
        """These settings with a question's own choices. Raises BadInputError."""
        try:
            return RetrievalSettings.model_validate({**self.model_dump(), **given})
        except ValidationError as error:
            raise BadInputError(_explained(error)) from error


class RerankSettings(_Section):
    """`spec` names a strategy or a chain, as in `cross-encoder:20,listwise:5`.

    `on_failure`: a failing stage is stepped over and flagged, or raises. `in_flight` bounds the calls that
    are under way at once. `cache` keeps paid verdicts. `prompts` is a folder of templates that replace
    winnow's.
    """

    spec: str = "fusion"
    top_k: int = Field(default=5, ge=1, le=1_000)
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


class Settings(BaseSettings):
    """Everything that can be set. Use `Settings.load()`; its errors name the key and what is allowed."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", toml_file=FILE, extra="forbid", frozen=True
    )

    data_dir: Path = Path(".winnow")
    collection: str = "default"
    profile: Profile = "local"
    store: StoreSettings = StoreSettings()
    encoder: EncoderSettings = EncoderSettings()
    ingest: IngestSettings = IngestSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    rerank: RerankSettings = RerankSettings()
    llm: LlmSettings = LlmSettings()
    answer: AnswerSettings = AnswerSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    server: ServerSettings = ServerSettings()
    _origins: Mapping[str, Origin] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Settings of this folder and environment; `overrides` (nested dicts) win. Raises SettingsError."""
        try:
            loaded = cls(**overrides)
            loaded._origins = cls._origins_of(loaded.profile, overrides)
            return loaded
        except ValidationError as error:
            raise SettingsError(
                _explained(error), way_out=f"Mend {FILE}, the environment or the flag."
            ) from error
        except ValueError as error:  # TOML that does not parse, or JSON in the environment
            raise SettingsError(
                f"the settings ({FILE} and environment) cannot be read: {error}",
                way_out=f"Mend {FILE} or the variable.",
            ) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, toml, _ProfileSource(settings_cls)

    def origin(self, key: str) -> Origin:
        """Where the value of a setting came from (`server.port`), when these were loaded; strongest first."""
        parts = (
            origin
            for path, origin in self._origins.items()
            if f"{key}.".startswith(f"{path}.") or path.startswith(f"{key}.")
        )
        return min(parts, key=_ORIGINS.index, default="default")

    @classmethod
    def _origins_of(cls, profile: str, overrides: Mapping[str, Any]) -> Mapping[str, Origin]:
        """By the path of each value that somebody gave."""
        given: tuple[tuple[Origin, Mapping[str, Any]], ...] = (
            ("profile", PROFILES[profile]),
            ("file", TomlConfigSettingsSource(cls)()),
            ("environment", EnvSettingsSource(cls)()),
            ("flag", overrides),
        )
        return {path: origin for origin, values in given for path in _paths(values)}

    @property
    def log_switch(self) -> Path:
        """A file that is there while `winnow log off` holds: no answer of this data folder is logged."""
        return self.data_dir / "log.off"

    @property
    def logging(self) -> bool:
        """Whether answers are logged: by the settings, and not switched off since."""
        return self.log.enabled and not self.log_switch.exists()

    @property
    def database(self) -> str | Path:
        """Where the log is: SQLAlchemy's URL, or a file."""
        return self.log.url or self.data_dir / "winnow.db"

    @property
    def collections_dir(self) -> Path:
        return self.data_dir / "collections"

    @property
    def uploads_dir(self) -> Path:
        """The only folder that an upload is ever written to."""
        return self.data_dir / "uploads"

    @property
    def tokens_file(self) -> Path:
        """The hashes of the tokens that a server asks for."""
        return self.data_dir / "tokens.json"

    def make_data_dir(self) -> None:
        """Make the data folder, which git shall not see. Raises SettingsError where that is impossible."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            ignore = self.data_dir / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"cannot write to the data folder {self.data_dir}: {error.strerror}",
                way_out="Choose another: --data-dir or WINNOW_DATA_DIR.",
            ) from error

    def chat_api_key(self) -> str | None:
        """The chat endpoint's key: the setting, or OPENAI_API_KEY. Read only where a chat model is chosen."""
        if self.llm.api_key is not None:
            return self.llm.api_key.get_secret_value()
        return os.environ.get("OPENAI_API_KEY") or None

    def encoder_api_key(self) -> str | None:
        """The embeddings endpoint's key: the setting, or OPENAI_API_KEY. Read only where one is chosen."""
        if self.encoder.api_key is not None:
            return self.encoder.api_key.get_secret_value()
        return os.environ.get("OPENAI_API_KEY") or None

    def rerank_api_key(self, profile: str) -> str | None:
        """A rerank API's key: the setting, or PROFILE_API_KEY. Read only where a spec names that API."""
        if (key := self.rerank.api_keys.get(profile)) is not None:
            return key.get_secret_value()
        return os.environ.get(f"{profile.upper()}_API_KEY") or None

    def secrets(self) -> set[str]:
        """Every key and password that is set here or lies in the environment, so that none is ever shown."""
        own = [self.store.api_key, self.llm.api_key, self.encoder.api_key, *self.rerank.api_keys.values()]
        found = {key.get_secret_value() for key in own if key is not None}
        return (found | {os.environ.get(name, "") for name in _FOREIGN_KEYS}) - {""}

    def unused_keys(self) -> list[str]:
        """API keys in the environment that these settings send nowhere."""
        asked = "openai" in (self.answer.answerer, self.encoder.provider)
        used = {"OPENAI_API_KEY"} if asked else set[str]()
        spec = self.rerank.spec.upper()
        return [
            name
            for name in _FOREIGN_KEYS
            if os.environ.get(name) and name not in used and name.removesuffix("_API_KEY") not in spec
        ]


def _paths(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


class _ProfileSource(InitSettingsSource):
    """The weakest source: what the chosen profile sets."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, init_kwargs={})

    def __call__(self) -> dict[str, Any]:
        chosen = self.current_state.get("profile", "local")
        return {section: dict(values) for section, values in PROFILES.get(str(chosen), {}).items()}


def _explained(error: ValidationError) -> str:
    return "; ".join(map(partial(_explained_one), error.errors()))


def _explained_one(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {key!r}"
    got = "" if "key" in key else f" (got {problem['input']!r})"  # a key never reaches a terminal
    return f"{key}: {problem['msg']}{got}"
