"""Opens the stores of collections: on a server, in the data folder, or in a folder that is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.errors import SettingsError
from storage.qdrant.contract import CollectionStore, CollectionStores, Fingerprint
from winnow.app.settings import Settings


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
