"""Makes each part from settings alone; `winnow.app.wiring` keeps and joins them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from winnow.app.settings import Settings

if TYPE_CHECKING:
    from generation.chat.client import OpenAIChat
    from generation.chat.prompts import Prompter
    from retrieval.encoders.encoder import Encoder
    from storage.qdrant.contract import CollectionStore, CollectionStores, Fingerprint
    from winnow.app.tracing.spans import Tracing


def encoder(settings: Settings) -> Encoder:
    """Make the encoder of `[encoder]`: a local model, or an embeddings endpoint. Raises ModelError."""
    chosen = settings.encoder
    if chosen.provider == "local":
        from retrieval.encoders.encoder import load_encoder

        return load_encoder(
            chosen.model,
            device=chosen.device,
            dim=chosen.dim,
            token_dim=chosen.token_dim,
            query_prompt=chosen.query_prompt,
            passage_prompt=chosen.passage_prompt,
        )
    from retrieval.encoders.endpoint import load_openai_encoder

    return load_openai_encoder(
        chosen.model,
        base_url=chosen.base_url,
        api_key=settings.encoder_api_key(),
        dim=chosen.dim,
        max_tokens=chosen.max_tokens,
        query_prompt=chosen.query_prompt,
        passage_prompt=chosen.passage_prompt,
        timeout_s=chosen.timeout_s,
        max_retries=chosen.max_retries,
        price=settings.llm.prices.get(chosen.model),
    )


def stores(settings: Settings) -> CollectionStores:
    """Open the stores of collections: the server of `[store] url`, otherwise the data folder."""
    chosen = settings.store
    if chosen.url is None:
        from storage.qdrant.edge.stores import EdgeStores

        return EdgeStores(settings.collections_dir, tuning=chosen.tuning)
    from storage.qdrant.server.stores import ServerStores

    return ServerStores.connect(
        chosen.url,
        api_key=chosen.api_key.get_secret_value() if chosen.api_key else None,
        prefer_grpc=chosen.prefer_grpc,
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


def chat(settings: Settings, model: str) -> OpenAIChat:
    """Make the client of a chat model at the endpoint of `[llm]`."""
    from generation.chat.client import OpenAIChat

    llm = settings.llm
    return OpenAIChat.load(
        model=model,
        base_url=llm.base_url,
        api_key=settings.chat_api_key(),
        timeout_s=llm.timeout_s,
        max_retries=llm.max_retries,
        prices=llm.prices,
    )


def prompter(settings: Settings) -> Prompter:
    """Make the writer of prompts: the templates, token budget and token counter of `[answer]`."""
    from generation.chat.prompts import Prompter
    from generation.chat.templating import Templates
    from generation.chat.tokens import EstimatedTokens, TokenizerTokens

    chosen = settings.answer
    counter = TokenizerTokens.load(chosen.tokenizer) if chosen.tokenizer else EstimatedTokens()
    return Prompter(Templates.load(chosen.templates), chosen.prompt_tokens, counter, chosen.order)


def tracing(settings: Settings) -> Tracing:
    """The spans of `[tracing]`; off by default. Raises MissingDependencyError."""
    from winnow.app.tracing.spans import Tracing

    return Tracing.load(settings.tracing)
