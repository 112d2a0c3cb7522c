"""Copies a collection to a Qdrant server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from storage.errors import NotFoundError
from storage.qdrant.contract import Fingerprint
from storage.qdrant.copying import Copied, copy_passages
from storage.qdrant.server.stores import ServerCollection, ServerStores
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring


def copy_to_server(
    settings: Settings,
    name: str,
    url: str,
    *,
    api_key: str | None = None,
    grpc_port: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Copied:
    """Make the server at `url` hold the collection, with the same ids and payloads.

    `progress` is called with (passages done, passages in all). Raises NotFoundError, StoreUnavailableError,
    FingerprintMismatchError, StoreError.
    """
    chosen = settings.store
    target_stores = ServerStores.connect(
        url,
        api_key=api_key,
        prefer_grpc=chosen.prefer_grpc,
        grpc_port=grpc_port,
        timeout_s=chosen.timeout_s,
        tuning=chosen.tuning,
    )
    with (
        Wiring(settings) as wiring,
        closing(target_stores),
        closing(wiring.stores.open(name)) as source,
        closing(_opened(target_stores, name, source.fingerprint)) as target,
    ):
        return copy_passages(source, target, progress=progress)


def _opened(stores: ServerStores, name: str, fingerprint: Fingerprint) -> ServerCollection:
    try:
        return stores.open(name)
    except NotFoundError:
        return stores.create(name, fingerprint)
