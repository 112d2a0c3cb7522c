"""Ray Data runs the same plan: same documents, same passages, same ids as a local run."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.engines.ray import RayEngine, RayParts
from ingest.options import IngestOptions
from ingest.run import Ingestor
from storage.database import Database
from storage.errors import MissingDependencyError, SettingsError, StoreError
from storage.manifest.manifest import Manifest
from storage.qdrant.contract import Fingerprint
from storage.qdrant.server.stores import ServerStores
from tests.support.ingestion import DIM, CountingEncoder, WordHashes, by_name, world
from tests.support.qdrant_wire import serving
from winnow import RAGPipeline
from winnow.app import distributed
from winnow.app.settings import Settings

FINGERPRINT = Fingerprint("e", DIM, "c", "l", DIM)


def parts(url: str) -> RayParts:
    """Return the parts that a worker builds for itself."""
    store = ServerStores.connect(url, prefer_grpc=False).open("c")
    return RayParts(CountingEncoder(), WordHashes(), store)


@pytest.fixture
def ray() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_ray_workers_give_the_store_of_a_local_run(ray: None, tmp_path: Path) -> None:
    """Two Ray workers fill a Qdrant server as a local run does, refusals and duplicates included."""
    with world(tmp_path / "local") as local:
        for i in range(12):
            local.write(f"{i}.md", f"# Document {i}\n\n" + f"Sentence {i} of many. " * 60)
        local.write("法律.md", "# 法律\n\n第一条 为了保护消费者的合法权益，制定本法。\n")
        local.write("copy of 3.md", (local.docs / "3.md").read_bytes())
        local.write("broken.json", "{")
        expected = local.ingest()
        with serving() as wire, Database.open(tmp_path / "ray.db") as database:
            stores = ServerStores.connect(wire.url, prefer_grpc=False)
            store = stores.create("c", FINGERPRINT)
            manifest = Manifest(database, "c")
            engine = RayEngine(manifest, functools.partial(parts, wire.url), tokens=True, workers=2)
            ingestor = Ingestor(store, CountingEncoder(), WordHashes(), manifest, IngestOptions(), engine)
            report = ingestor.run([local.docs])
            assert by_name(report) == by_name(expected)
            points, _ = wire.client.scroll("c", limit=10_000)
            assert {str(point.id) for point in points} == local.stored()
            assert {row.id: row.chunk_ids for row in manifest.rows()} == {
                row.id: row.chunk_ids for row in local.manifest.rows()
            }
            assert ingestor.run([local.docs]).totals["unchanged"] == 13


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_pipeline_ingests_on_ray_what_it_ingests_here(ray: None, tmp_path: Path) -> None:
    """With settings alone, each Ray worker builds its own encoder and connection, to the same result."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for i in range(6):
        (docs / f"{i}.md").write_text(f"# Document {i}\n\n" + f"Sentence {i} of many. " * 90)
    with serving() as wire:
        server = {"url": wire.url, "prefer_grpc": False}
        ids: list[set[str]] = []
        for engine in ("local", "ray"):
            chosen = Settings.load(
                data_dir=tmp_path / engine,
                collection=engine,
                store=server,
                ingest={"engine": engine, "workers": 2},
            )
            with RAGPipeline.from_settings(chosen) as pipeline:
                report = pipeline.ingest(docs)
                assert report.totals["ingested"] == 6
            points, _ = wire.client.scroll(engine, limit=10_000)
            ids.append({str(point.id) for point in points})
        assert ids[0] == ids[1] != set()


def test_ray_needs_a_server_and_says_so_before_anything_is_made(tmp_path: Path) -> None:
    """Ray with an embedded store is refused with the setting's name before anything is created."""
    (tmp_path / "a.md").write_text("Text.")
    with RAGPipeline.from_settings(Settings.load(data_dir=tmp_path / "data")) as pipeline:
        with pytest.raises(SettingsError) as raised:
            pipeline.ingest(tmp_path / "a.md", engine="ray")
        assert "store.url" in raised.value.way_out
        assert list(pipeline.wiring.stores.names()) == []


def test_no_key_travels_to_the_workers_but_that_of_the_store(tmp_path: Path) -> None:
    """The settings sent to workers hold the store's key, but none of a chat model or rerank API."""
    chosen = Settings.load(
        data_dir=tmp_path,
        llm={"api_key": "chat-secret"},
        rerank={"api_keys": {"cohere": "rerank-secret"}},
        store={"url": "http://127.0.0.1:1", "api_key": "store-secret"},
    )
    sent = pickle.dumps(distributed.for_workers(chosen))
    assert b"store-secret" in sent
    assert b"chat-secret" not in sent
    assert b"rerank-secret" not in sent


def broken_parts() -> RayParts:
    raise StoreError("the server is gone")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_ray_worker_raises_is_an_error_of_ours(ray: None, tmp_path: Path) -> None:
    """A worker's exception becomes an error of winnow's, and nothing counts as ingested."""
    with world(tmp_path) as here:
        here.write("a.md", "# A\n\nText.")
        engine = RayEngine(here.manifest, broken_parts, tokens=True, workers=1)
        ingestor = Ingestor(here.store, here.encoder, WordHashes(), here.manifest, IngestOptions(), engine)
        with pytest.raises(StoreError):
            ingestor.run([here.docs])
        assert {row.status for row in here.manifest.rows()} == {"pending"}
        here.ingest()
        assert here.stored() == here.expected() != set()


def test_without_ray_the_error_names_the_extra(tmp_path: Path) -> None:
    """Without Ray installed, the way out is the install command of the extra."""
    try:
        import ray  # noqa: F401
    except ImportError:
        with Database.open(tmp_path / "w.db") as database, pytest.raises(MissingDependencyError) as missing:
            RayEngine(Manifest(database, "c"), lambda: parts(""), tokens=True, workers=1)
        assert "distributed" in missing.value.way_out
    else:
        pytest.skip("Ray is installed")
