"""Settings: flags over environment (`WINNOW_SECTION__KEY`) over `winnow.toml` over the profile's defaults.

This is the only module that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import PrivateAttr, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from storage import secrets
from storage.errors import SettingsError
from storage.private_files import make_private_folder
from winnow.app.setting_defaults import (
    CHAT_PARTS,
    AnswerSettings,
    EncoderSettings,
    IngestSettings,
    LlmSettings,
    LogSettings,
    McpSettings,
    RerankSettings,
    RetrievalSettings,
    ServerSettings,
    StoreSettings,
    TracingSettings,
    explained,
)

FILE = "winnow.toml"
PREFIX = "WINNOW_"

Profile = Literal["local", "multilingual", "openai"]
# The sources of a value, strongest first.
Origin = Literal["flag", "environment", "file", "profile", "default"]

_ORIGINS = get_args(Origin)

# The values of a profile; file, environment and flags win.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "local": {},
    "multilingual": {
        "encoder": {"model": "BAAI/bge-m3"},
        "rerank": {"spec": 'cross-encoder(model="BAAI/bge-reranker-v2-m3"),diversity(weight=0)'},
    },
    # an endpoint gives no token vectors, so late interaction cannot make the first cut
    "openai": {
        "encoder": {"provider": "openai", "model": "text-embedding-3-small"},
        "rerank": {"spec": "none:20,diversity(weight=0),listwise"},
        "answer": {"answerer": "openai"},
    },
}

# Keys that other software leaves in the environment. winnow mentions them but sends them nowhere.
_FOREIGN_KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "COHERE_API_KEY",
    "JINA_API_KEY",
    "VOYAGE_API_KEY",
    "MIXEDBREAD_API_KEY",
    "ZEROENTROPY_API_KEY",
    "CONTEXTUAL_API_KEY",
    "DASHSCOPE_API_KEY",
    "SILICONFLOW_API_KEY",
    "TYPESAFE_API_KEY",
)


class Settings(BaseSettings):
    """All settings. Use `Settings.load()`; its errors name the key and the values that are allowed."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", toml_file=FILE, extra="forbid", frozen=True
    )

    data_dir: Path = Path(".winnow")
    # where encoders are kept in the form that runs here; None for this user's cache
    models_dir: Path | None = None
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
    mcp: McpSettings = McpSettings()
    _origins: Mapping[str, Origin] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Load the settings; `overrides` (nested dicts) win. Raises SettingsError."""
        try:
            loaded = cls(**overrides)
            loaded._origins = cls._origins_of(loaded.profile, overrides)
            secrets.remember(*loaded.secrets())
            secrets.remember_passwords(*loaded.addresses())
            return loaded
        except ValidationError as error:
            raise SettingsError(
                explained(error), way_out=f"Mend {FILE}, the environment or the flag."
            ) from error
        except (ValueError, OSError, RecursionError) as error:  # TOML that is none, JSON in the environment
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
        """Return the strongest source of a setting (`server.port`) at the time of loading."""
        parts = (
            origin
            for path, origin in self._origins.items()
            if f"{key}.".startswith(f"{path}.") or path.startswith(f"{key}.")
        )
        return min(parts, key=_ORIGINS.index, default="default")

    @classmethod
    def _origins_of(cls, profile: str, overrides: Mapping[str, Any]) -> Mapping[str, Origin]:
        """Return the source of each given value, by its path."""
        given: tuple[tuple[Origin, Mapping[str, Any]], ...] = (
            ("profile", PROFILES[profile]),
            ("file", TomlConfigSettingsSource(cls)()),
            ("environment", EnvSettingsSource(cls)()),
            ("flag", overrides),
        )
        return {path: origin for origin, values in given for path in _paths(values)}

    @property
    def log_switch(self) -> Path:
        """The file that exists while `winnow log off` holds: no answer of this data folder is logged."""
        return self.data_dir / "log.off"

    @property
    def logging(self) -> bool:
        """True if the settings log answers and nobody switched that off since."""
        return self.log.enabled and not self.log_switch.exists()

    @property
    def database(self) -> str | Path:
        """The log's database: SQLAlchemy's URL, or a file."""
        return self.log.url or self.data_dir / "winnow.db"

    @property
    def collections_dir(self) -> Path:
        return self.data_dir / "collections"

    @property
    def uploads_dir(self) -> Path:
        """The only folder that an upload is ever written to."""
        return self.data_dir / "uploads"

    @property
    def lines_dir(self) -> Path:
        """The chat model's replies about passages, by collection and document."""
        return self.data_dir / "context_lines"

    @property
    def tokens_file(self) -> Path:
        """The hashes of the tokens that a server asks for."""
        return self.data_dir / "tokens.json"

    def make_data_dir(self) -> None:
        """Create the data folder, hidden from git and other users. Raises SettingsError if that fails."""
        try:
            make_private_folder(self.data_dir)
            ignore = self.data_dir / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"cannot write to the data folder {self.data_dir}: {error.strerror}",
                way_out="Choose another: --data-dir or WINNOW_DATA_DIR.",
            ) from error

    def chat_api_key(self) -> str | None:
        """Return the chat endpoint's key: the setting, or OPENAI_API_KEY."""
        return _secret_or_environment(self.llm.api_key, "OPENAI_API_KEY")

    def encoder_api_key(self) -> str | None:
        """Return the embeddings endpoint's key: the setting, or OPENAI_API_KEY."""
        return _secret_or_environment(self.encoder.api_key, "OPENAI_API_KEY")

    def rerank_api_key(self, profile: str) -> str | None:
        """Return a rerank API's key: the setting, or PROFILE_API_KEY."""
        key = _secret_or_environment(self.rerank.api_keys.get(profile), f"{profile.upper()}_API_KEY")
        secrets.remember(key)
        return key

    def secrets(self) -> set[str]:
        """Return every key that is set here or in the environment, so that none is ever shown."""
        own = [self.store.api_key, self.llm.api_key, self.encoder.api_key, *self.rerank.api_keys.values()]
        found = {key.get_secret_value() for key in own if key is not None} | self.llm.credentials()
        return (found | {os.environ.get(name, "") for name in _FOREIGN_KEYS}) - {""}

    def addresses(self) -> list[str | None]:
        """Return the settings that are or hold addresses, in which there may be passwords."""
        specs = (self.rerank.spec, *self.server.specs)
        return [self.llm.base_url, self.encoder.base_url, self.store.url, self.log.url, *specs]

    def unused_keys(self) -> list[str]:
        """List the API keys in the environment that these settings send nowhere."""
        asked = "openai" in (self.answer.answerer, self.encoder.provider)
        asked = asked or self.retrieval.parts in CHAT_PARTS or self.ingest.context == "chat"
        used = {"OPENAI_API_KEY"} if asked else set[str]()
        spec = self.rerank.spec.upper().replace("DECISION", "TYPESAFE")
        return [
            name
            for name in _FOREIGN_KEYS
            if os.environ.get(name) and name not in used and name.removesuffix("_API_KEY") not in spec
        ]


def _secret_or_environment(secret: SecretStr | None, variable: str) -> str | None:
    """Return a key. Called only for what the settings use, so that no other key is read."""
    return os.environ.get(variable) or None if secret is None else secret.get_secret_value()


def _paths(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


class _ProfileSource(InitSettingsSource):
    """The weakest source: the values of the chosen profile."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, init_kwargs={})

    def __call__(self) -> dict[str, Any]:
        chosen = self.current_state.get("profile", "local")
        return {section: dict(values) for section, values in PROFILES.get(str(chosen), {}).items()}
