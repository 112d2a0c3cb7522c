"""A deletion that is killed or fails is finished by what comes next; it never comes back from its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from storage.manifest.deletions import Deletion, Deletions
from tests.support import qdrant_wire
from tests.support.qdrant_wire import Fault
from tests.support.reindexing import encoders, pipeline, write
from winnow.cli.app import app

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[3]
# Runs a command that is killed when a function is called, or has returned.
_KILLED = """
import os, signal, sys
wanted, event = sys.argv[1:3]
del sys.argv[1:3]
def watch(frame, happened, value):
    if happened == event and frame.f_code.co_qualname == wanted:
        os.kill(os.getpid(), signal.SIGKILL)
from winnow.__main__ import main
sys.setprofile(watch)
main()
"""


class Place:
    """Four documents of our own in a collection, embedded or on a server."""

    def __init__(self, root: Path, encoder: Path, url: str | None = None) -> None:
        self.docs, self.data, self.encoder = root / "docs", root / "data", encoder
        self.env = {"WINNOW_ENCODER__MODEL": str(encoder), "WINNOW_DATA_DIR": str(self.data)}
        if url:
            self.env |= {"WINNOW_STORE__URL": url, "WINNOW_STORE__PREFER_GRPC": "false"}
        self.store: dict[str, object] = {"url": url, "prefer_grpc": False} if url else {}
        write(self.docs, 0, 1, 2, 3)
        with self.pipeline() as rag:
            rag.ingest(self.docs)

    def pipeline(self) -> Any:
        return pipeline(self.data, self.encoder, self.store)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, list(words), env=self.env)

    def killed(self, at: str, event: str, *words: str) -> None:
        """Run a command that is killed there."""
        command = [sys.executable, "-c", _KILLED, at, event, *words]
        ended = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.env}, capture_output=True, check=False
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()

    def known(self) -> set[str]:
        """Return the names of the documents that the manifest lists and the store holds."""
        with self.pipeline() as rag:
            listed = {Path(row.source).name for row in rag.wiring.manifest().rows()}
            if "default" not in rag.wiring.stores.names():
                assert listed == set()
                return listed
            stored = {Path(chunk.source).name for chunk in rag.wiring.collection().chunks()}
        assert stored == listed
        return stored

    def findings(self) -> list[str]:
        checks = json.loads(self.run("doctor", "--json").stdout)
        return [
            check["finding"]
            for check in checks
            if check["name"].startswith("collection") and check["state"] != "ok"
        ]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders(tmp_path_factory.mktemp("deleting"))[0]


@pytest.fixture(params=["edge", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path, encoder: Path) -> Iterator[Place]:
    if request.param == "edge":
        yield Place(tmp_path, encoder)
        return
    with qdrant_wire.serving() as wire:
        yield Place(tmp_path, encoder, wire.url)


DELETE = ("collections", "delete", "default", "--yes")
NOTED = ("Deletions.begin", "return")
ASIDE = ("CollectionFolder.discard", "return")
HALF_GONE = ("_rmtree_safe_fd", "call")
GONE = ("Deletions.finish", "call")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "then"),
    [
        *((NOTED, then) for then in ("again", "repair", "ask", "ingest")),
        *((HALF_GONE, then) for then in ("again", "repair")),
        (ASIDE, "ingest"),
        (GONE, "again"),
    ],
)
def test_a_killed_deletion_of_a_collection_is_finished(
    tmp_path: Path, encoder: Path, at: tuple[str, str], then: str
) -> None:
    """Wherever it is killed, and whatever comes next, the collection and its passages are gone."""
    place = Place(tmp_path, encoder)
    place.killed(*at, *DELETE)
    assert any("interrupted" in finding for finding in place.findings())
    if then == "again":
        assert place.run(*DELETE).exit_code == 0
    elif then == "repair":
        assert place.run("doctor", "--repair").exit_code == 0
    elif then == "ask":
        asked = place.run("ask", "Which dog?")
        assert asked.exit_code == 2
        assert "there is no collection 'default'" in asked.stderr
    else:
        write(place.docs.with_name("new"), 9)
        assert place.run("ingest", str(place.docs.with_name("new"))).exit_code == 0
    assert place.known() == ({"9.md"} if then == "ingest" else set())
    assert place.findings() == []
    left = [path.name for path in (place.data / "collections").iterdir()]
    assert left == (["default"] if then == "ingest" else [])
    assert len(list(place.docs.iterdir())) == 4


@pytest.mark.slow
@pytest.mark.parametrize("then", ["again", "repair", "reindex"])
@pytest.mark.parametrize("at", [NOTED, GONE])
def test_a_killed_deletion_of_a_document_is_finished(place: Place, at: tuple[str, str], then: str) -> None:
    """A document whose deletion is killed is gone after the next use, and no re-index reads its file."""
    place.killed(*at, "documents", "delete", str(place.docs / "2.md"))
    assert place.findings() == [f"a deletion was interrupted: {place.docs / '2.md'}"]
    if then == "again":
        assert place.run("documents", "delete", str(place.docs / "2.md")).exit_code == 0
    elif then == "repair":
        repaired = json.loads(place.run("doctor", "--repair", "--json").stdout)
        assert repaired["repaired"] == ["finished what was being deleted"]
    else:
        assert place.run("ingest", "--reindex").exit_code == 0
    assert place.known() == {"0.md", "1.md", "3.md"}
    assert place.findings() == []


def test_a_deletion_that_is_killed_on_a_server_is_finished(tmp_path: Path, encoder: Path) -> None:
    """On a server, too, the collection is gone after the next command, whatever was deleted before."""
    with qdrant_wire.serving() as wire:
        place = Place(tmp_path, encoder, wire.url)
        place.killed("PhysicalCollections.delete", "return", *DELETE)
        assert place.run("doctor", "--repair").exit_code == 0
        assert place.known() == set()
        assert place.findings() == []


def test_a_deletion_that_fails_half_way_says_so_and_is_finished(tmp_path: Path, encoder: Path) -> None:
    """A server that fails meanwhile is an error, which says that the deletion is noted."""
    with qdrant_wire.serving() as wire:
        place = Place(tmp_path, encoder, wire.url)
        wire.fail(*[Fault(path="/collections/default/points/delete", status=500)] * 9)
        failed = place.run("documents", "delete", str(place.docs / "2.md"))
        assert failed.exit_code == 1
        assert "finished when the collection is next used" in " ".join(failed.stderr.split())
        wire.faults.clear()
        assert place.run("search", "Which dog?").exit_code == 0
        assert place.known() == {"0.md", "1.md", "3.md"}


def test_a_deletion_that_cannot_begin_is_not_noted(tmp_path: Path, encoder: Path) -> None:
    """A collection that another process uses is not deleted, and not later either."""
    place = Place(tmp_path, encoder)
    with place.pipeline() as rag:
        rag.wiring.collection()
        assert place.run(*DELETE).exit_code == 1
    with place.pipeline() as rag:
        assert rag.wiring.deletions.of("default") == []
    assert len(place.known()) == 4


def test_who_finishes_second_forgets_nothing(tmp_path: Path, encoder: Path) -> None:
    """A deletion that another process finished meanwhile takes no newer document of that name with it."""
    place = Place(tmp_path, encoder)
    with place.pipeline() as rag:
        row = next(row for row in rag.wiring.manifest().rows() if row.source.endswith("1.md"))
        deletions = Deletions(rag.wiring.database)
        deletions.finish(Deletion("default", row.id, row.source), "default")
        deletions.finish(Deletion("default"))
    assert len(place.known()) == 4
