"""The parts that settings describe, each made on first use and kept."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar, cast

from storage.errors import ModelError, WinnowError
from storage.qdrant.contract import CollectionStores, Fingerprint
from winnow.app import portal
from winnow.app.chat_models import make_chat
from winnow.app.encoders import Encoders, former_default, make_encoder, way_on
from winnow.app.settings import Settings
from winnow.app.stores import open_stores

if TYPE_CHECKING:
    from generation.chat.client import OpenAIChat
    from generation.chat.local import LocalChat
    from retrieval.encoders.encoder import Encoder, ForwardModel
    from retrieval.lexical import LexicalEncoder
    from storage.chat import ChatModel
    from storage.database import Database
    from storage.log.answer_log import AnswerLog
    from storage.manifest.deletions import Deletions
    from storage.manifest.manifest import Manifest
    from storage.manifest.uploads import AcceptedUploads
    from winnow.app.tracing.spans import Tracing

T = TypeVar("T")


class Parts:
    """Models, stores and the database. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        # Parts are made side by side: each has a lock of its own, held while it is made.
        self._making: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._parts: dict[str, object] = {}
        self._encoders: dict[str, Encoder] = {}
        self._chats: dict[str, OpenAIChat | LocalChat] = {}
        self._keys_used: set[str] = set()
        self._database: Database | None = None
        self._wrap: Callable[[ForwardModel], ForwardModel] | None = None

    @property
    def encoder(self) -> Encoder:
        """The dense encoder of the settings."""
        return self._kept_encoder("", self.settings)

    @property
    def encoders(self) -> Encoders:
        """The encoders of the settings."""
        return Encoders(self.encoder, self.lexical)

    def encoders_of(self, name: str, built: Fingerprint | None) -> Encoders:
        """Return the encoders for a collection with that fingerprint; None: for one that does not exist.

        They are those of the settings, which then may not fit, unless a former default made it. Raises
        ModelError where that is not on this machine any more.
        """
        former = former_default(self.settings, built)
        if built is None:
            return self.encoders
        lexical = self.lexical.for_collection(built.lexical)
        if former is None:
            return Encoders(self.encoder, lexical)
        try:
            dense = self._kept_encoder(built.encoder, self.settings.model_copy(update={"encoder": former}))
        except ModelError as error:
            raise ModelError(
                f"the collection {name!r} was made with a former default encoder: {error}",
                way_out=f"{error.way_out} Or move it to the present default: "
                f"winnow ingest --reindex -c {name}",
            ) from error
        return Encoders(dense, lexical, way_on(self.settings, name, built))

    def present_encoders(self, name: str) -> Encoders:
        """Return the encoders that a collection is searched with now, without opening it.

        They are those of the settings where it is gone or cannot be read.
        """
        try:
            built = self.stores.fingerprint(name)
        except WinnowError:
            built = None
        return self.encoders_of(name, built)

    @property
    def lexical(self) -> LexicalEncoder:
        from retrieval.lexical import LexicalEncoder

        return self.kept("lexical", LexicalEncoder.load)

    @property
    def stores(self) -> CollectionStores:
        return self.kept("stores", lambda: open_stores(self.settings))

    @property
    def database(self) -> Database:
        """The SQLite database of log and manifest, migrated to this version."""
        with self._made_once("database"):
            if self._database is None:
                from storage.database import Database

                if self.settings.log.url is None:
                    self.settings.make_data_dir()
                self._database = Database.open(self.settings.database)
            return self._database

    @property
    def has_database(self) -> bool:
        """False where there is none yet; asking it would make one."""
        return (
            self._database is not None
            or not isinstance(path := self.settings.database, Path)
            or path.exists()
        )

    @property
    def deletions(self) -> Deletions:
        """The deletions that have begun."""
        from storage.manifest.deletions import Deletions

        return Deletions(self.database)

    @property
    def uploads(self) -> AcceptedUploads:
        """The uploads that are accepted and not ingested yet."""
        from storage.manifest.uploads import AcceptedUploads

        return AcceptedUploads(self.database)

    @property
    def answers(self) -> AnswerLog:
        """The log of answers."""
        from storage.log.answer_log import AnswerLog

        return AnswerLog(self.database, redact=self.settings.log.redact)

    @property
    def tracing(self) -> Tracing:
        """Spans of questions, where the settings ask for them. Raises MissingDependencyError."""
        from winnow.app.tracing.spans import Tracing

        return self.kept("tracing", lambda: Tracing.load(self.settings.tracing))

    def manifest(self, name: str | None = None) -> Manifest:
        """Return the manifest of a collection: its documents, one by one."""
        from storage.manifest.manifest import Manifest

        name = name or self.settings.collection
        return Manifest(self.database, name, self.stores.generation(name))

    def chat(self, model: str | None = None) -> OpenAIChat | LocalChat:
        """Return the chat model of that name, or the configured one. Only this reads its API key.

        The file of `llm.gguf` is the one model there is, whatever name is asked for.
        """
        name = self.settings.llm.name if self.settings.llm.gguf else model or self.settings.llm.model
        self._keys_used.add("OPENAI_API_KEY")
        with self.lock:
            if name not in self._chats:
                self._chats[name] = make_chat(self.settings, name)
            return self._chats[name]

    def traced_chat(self, model: str | None = None) -> ChatModel:
        """`chat`, each of its calls a span where the settings ask for it."""
        return self.tracing.chat(self.chat(model))

    def unused_keys(self) -> list[str]:
        """List the API keys in the environment that these parts have not read."""
        return [key for key in self.settings.unused_keys() if key not in self._keys_used]

    def rerank_api_key(self, profile: str) -> str | None:
        """Return the key of a rerank API, which counts as used from now on."""
        self._keys_used.add(f"{profile.upper()}_API_KEY")
        return self.settings.rerank_api_key(profile)

    def close(self) -> None:
        """Close the encoders, the connections and the database."""
        with self.lock:
            for chat in self._chats.values():
                portal.call(chat.aclose)  # its connections belong to the portal's loop
            self._chats.clear()
            for encoder in self._encoders.values():
                encoder.close()
            self._encoders.clear()
            if tracing := self._parts.pop("tracing", None):
                cast("Tracing", tracing).close()
            if self._database is not None:
                self._database.close()
                self._database = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """Return the part of that name, made on first use."""
        with self._made_once(name):
            if name not in self._parts:
                self._parts[name] = make()
            return cast("T", self._parts[name])

    def wrap_encoder(self, wrap: Callable[[ForwardModel], ForwardModel]) -> None:
        """Run each encoder's forward passes through what `wrap` makes of its model; loads nothing."""
        with self.lock:
            self._wrap = wrap
            for encoder in self._encoders.values():
                encoder.through(wrap)

    def _kept_encoder(self, key: str, settings: Settings) -> Encoder:
        with self._made_once(f"encoder {key}"):
            if key in self._encoders:
                return self._encoders[key]
            if settings.encoder.provider != "local":
                self._keys_used.add("OPENAI_API_KEY")
            encoder = make_encoder(settings)
            with self.lock:
                if self._wrap is not None:
                    encoder.through(self._wrap)
                self._encoders[key] = encoder
            return encoder

    def _made_once(self, name: str) -> AbstractContextManager[object]:
        with self.lock:
            return self._making[name]
