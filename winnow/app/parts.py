"""The parts that settings describe, each made on first use and kept."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self, TypeVar, cast

from storage.errors import ModelError, SettingsError, WinnowError
from storage.qdrant.contract import CollectionStore, CollectionStores, Fingerprint
from winnow.app import portal
from winnow.app.encoders import Encoders, former_default, make_encoder, way_on
from winnow.app.settings import Settings

if TYPE_CHECKING:
    from generation.chat.client import OpenAIChat
    from generation.chat.local import LocalChat
    from generation.chat.prompts import Prompter
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
        """Spans of questions, where the settings ask for them."""
        return self.kept("tracing", lambda: make_tracing(self.settings))

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


def open_stores(settings: Settings) -> CollectionStores:
    """Open the stores of collections: the server of `[store] url`, otherwise the data folder.

    Raises SettingsError where that is a file, in which no collection would ever be found.
    """
    chosen = settings.store
    if chosen.url is None:
        if settings.data_dir.is_file():
            raise SettingsError(
                f"the data folder {settings.data_dir} is a file",
                way_out="Choose another: --data-dir or WINNOW_DATA_DIR.",
            )
        from storage.qdrant.edge.stores import EdgeStores

        return EdgeStores(settings.collections_dir, tuning=chosen.tuning)
    from storage.qdrant.server.stores import ServerStores

    return ServerStores.connect(
        chosen.url,
        api_key=chosen.api_key.get_secret_value() if chosen.api_key else None,
        prefer_grpc=chosen.prefer_grpc,
        grpc_port=chosen.grpc_port,
        timeout_s=chosen.timeout_s,
        tuning=chosen.tuning,
    )


@contextmanager
def scratch(name: str, fingerprint: Fingerprint) -> Iterator[CollectionStore]:
    """Open an empty collection in a temporary folder, for runs that must write nothing.

    It has a generation of its own, so that no manifest knows its documents.
    """
    from storage.qdrant.edge.stores import EdgeStores

    with (
        TemporaryDirectory(prefix="winnow-", ignore_cleanup_errors=True) as folder,
        EdgeStores(Path(folder)).rebuild(name, fingerprint) as rebuild,
    ):
        yield rebuild.store


def make_chat(settings: Settings, model: str) -> OpenAIChat | LocalChat:
    """Make the client of a chat model: at the endpoint of `[llm]`, or of the file that `llm.gguf` names.

    Raises SettingsError for OpenAI's own endpoint without a key (nothing is sent there to be refused) and for
    a file that is no model. Nothing is started or sent before the first question.
    """
    llm = settings.llm
    if llm.gguf:
        from generation.chat.llama_server import LlamaServer
        from generation.chat.local import LocalChat

        server = LlamaServer(llm.gguf, context=llm.holds or 0)
        return LocalChat(server, lambda url, key: _client(settings, model, url, key))
    key = settings.chat_api_key()
    if not key and not llm.headers and "api.openai.com" in llm.base_url:
        raise SettingsError(
            f"the chat model {model} at {llm.base_url} needs an API key",
            way_out="Set llm.api_key or OPENAI_API_KEY, or llm.base_url for a server of your own.",
        )
    return _client(settings, model, llm.base_url, key)


def _client(settings: Settings, model: str, base_url: str, key: str | None) -> OpenAIChat:
    from generation.chat.client import OpenAIChat

    llm = settings.llm
    return OpenAIChat.load(
        model=model,
        base_url=base_url,
        api_key=key,
        timeout_s=llm.timeout_s,
        max_retries=llm.max_retries,
        prices=llm.prices,
        headers={name: value.get_secret_value() for name, value in llm.headers.items()},
        query={name: value.get_secret_value() for name, value in llm.query.items()},
        body=llm.body,
        max_reply_bytes=llm.max_reply_bytes,
    )


def make_prompter(settings: Settings) -> Prompter:
    """Make the writer of prompts: the templates, token budget and token counter of `[answer]`."""
    from generation.chat.prompts import Prompter
    from generation.chat.templating import Templates
    from generation.chat.tokens import EstimatedTokens, TokenizerTokens

    chosen = settings.answer
    counter = TokenizerTokens.load(chosen.tokenizer) if chosen.tokenizer else EstimatedTokens()
    room = chosen.prompt_tokens
    if settings.llm.holds is not None:
        room = min(room, max(256, settings.llm.holds - chosen.max_tokens))
    return Prompter(Templates.load(chosen.templates), room, counter, chosen.order)


def make_tracing(settings: Settings) -> Tracing:
    """The spans of `[tracing]`; off by default. Raises MissingDependencyError."""
    from winnow.app.tracing.spans import Tracing

    return Tracing.load(settings.tracing)
