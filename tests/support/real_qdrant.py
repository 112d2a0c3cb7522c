"""A real Qdrant server for the tests of the store, where one is given: `make test-qdrant URL=…`.

It must hold nothing else: the tests delete the collections that they name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from storage.qdrant.server.stores import ServerStores
from storage.qdrant.tuning import Tuning

URL = os.environ.get("WINNOW_TEST_QDRANT_URL", "")

# The parameter of tests that run over every kind of store.
KINDS = ["server"] if URL else []


@contextmanager
def connected(*names: str) -> Iterator[ServerStores]:
    """Connect to the server; collections of these names are deleted before and after."""
    shards = os.environ.get("WINNOW_TEST_QDRANT_SHARDS")
    port = os.environ.get("WINNOW_TEST_QDRANT_GRPC_PORT")
    stores = ServerStores.connect(
        URL,
        api_key=os.environ.get("WINNOW_TEST_QDRANT_API_KEY"),
        prefer_grpc=os.environ.get("WINNOW_TEST_QDRANT_PREFER_GRPC") != "false",
        grpc_port=int(port) if port else None,
        tuning=Tuning(shard_number=int(shards) if shards else None),
    )
    with closing(stores):
        _delete(stores, names)
        yield stores
        _delete(stores, names)


def _delete(stores: ServerStores, names: tuple[str, ...]) -> None:
    for name in names:
        stores.sweep(name)
        if stores.exists(name):
            stores.drop(name)
