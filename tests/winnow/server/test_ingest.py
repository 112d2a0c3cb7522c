"""Uploads and ingest jobs over HTTP, metrics, shared passes, shutdown."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from rerank.cross.queued import Queued
from storage.errors import BadInputError, ModelError
from storage.vectors import Encoding
from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import Settings
from winnow.server.batching import SharedForward, shared
from winnow.server.limits import Gate
from winnow.server.uploads import Upload, UploadArea, safe_name

pytestmark = pytest.mark.heavy

NOTES = b"# Kiwis\n\nKiwis are rich in vitamin C.\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server over three documents."""
    data = ingested(tmp_path_factory.mktemp("uploads 上传"))
    with serving(Settings.load(data_dir=data, server={"upload_bytes": 100_000})) as running:
        yield running


def _upload(server: Server, *files: tuple[str, bytes], **fields: str) -> httpx2.Response:
    parts = [("file", (name, io.BytesIO(content))) for name, content in files]
    return server.post("/v1/ingest", files=parts, data=fields)


def _ended(server: Server, started: httpx2.Response) -> dict[str, Any]:
    assert started.status_code == 202, started.text
    while True:
        job: dict[str, Any] = server.get(started.headers["location"]).json()
        if job["status"] not in ("queued", "running"):
            return job
        time.sleep(0.05)


def test_an_upload_is_ingested_and_can_be_asked(server: Server) -> None:
    """An upload is a job with progress and a report; the same file again is `unchanged`."""
    job = _ended(server, _upload(server, ("kiwis 奇异果.md", NOTES), collection="fruit"))
    assert (job["status"], job["files"]) == ("done", ["kiwis 奇异果.md"])
    assert job["report"]["totals"]["ingested"] == 1
    assert job["progress"]["documents_total"] == 1
    asked = {"question": "What are kiwis rich in?", "collection": "fruit"}
    assert "vitamin C" in server.post("/v1/ask", json=asked).json()["text"]
    again = _ended(server, _upload(server, ("kiwis 奇异果.md", NOTES), collection="fruit"))
    assert again["report"]["totals"]["unchanged"] == 1
    other = _ended(server, _upload(server, ("kiwis 奇异果.md", NOTES + b"And sweet.\n"), collection="fruit"))
    assert other["report"]["totals"]["replaced"] == 1
    assert server.get("/v1/ingest").json()["jobs"][0]["id"] == other["id"]


def test_a_deleted_upload_leaves_neither_document_nor_file(server: Server) -> None:
    """Deleting an uploaded document deletes its file, too."""
    _ended(server, _upload(server, ("gone.md", NOTES), collection="bin"))
    [row] = server.get("/v1/documents", params={"collection": "bin"}).json()["documents"]
    assert Path(row["source"]).exists()
    reply = server.delete(f"/v1/documents/{row['id']}", params={"collection": "bin"})
    assert reply.json() == {"deleted": row["source"]}
    assert not Path(row["source"]).exists()
    assert server.get("/v1/documents", params={"collection": "bin"}).json()["total"] == 0


def test_an_archive_is_refused_and_nothing_of_it_written(server: Server) -> None:
    """An archive is refused without reading its entries (zip-slip)."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../escaped.md", "out of the area")
    job = _ended(server, _upload(server, ("evil.zip", packed.getvalue()), collection="zips"))
    assert job["status"] == "done"
    assert job["report"]["totals"]["refused"] == 1
    data = server.pipeline.settings.data_dir
    assert not list(data.parent.rglob("escaped.md"))
    assert not list(server.pipeline.settings.uploads_dir.rglob("evil.zip"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/shadow.md", "shadow.md"),
        ("C:\\notes.md", "notes.md"),
        (".winnowignore", "winnowignore"),
        ("a\u202egnp.md", "agnp.md"),
        ("a\x00b\n.md", "ab.md"),
        ("con:stream.md", "con_stream.md"),
        ("长" * 300 + ".pdf", "长" * 65 + ".pdf"),
    ],
)
def test_a_name_leads_nowhere(given: str, kept: str) -> None:
    """A file name keeps only the last part of a path, cleaned, in at most 200 bytes."""
    assert safe_name(given) == kept


@pytest.mark.parametrize("given", ["", "..", "/", "\\", " . ", "\u200b", "../"])
def test_a_name_of_nothing_is_refused(given: str) -> None:
    """A file name of which nothing is left is an error."""
    with pytest.raises(BadInputError):
        safe_name(given)


def test_a_link_in_the_upload_area_is_replaced_not_followed(tmp_path: Path) -> None:
    """An upload replaces a link and leaves its target unchanged."""
    area, victim = UploadArea(tmp_path / "uploads"), tmp_path / "victim.md"
    victim.write_text("mine", encoding="utf-8")
    (tmp_path / "uploads" / "c").mkdir(parents=True)
    (tmp_path / "uploads" / "c" / "notes.md").symlink_to(victim)
    [path] = area.keep("c", [Upload("notes.md", io.BytesIO(NOTES))])
    assert (victim.read_text(encoding="utf-8"), path.read_bytes()) == ("mine", NOTES)
    assert not path.is_symlink()


@pytest.mark.parametrize("collection", ["../outside", "a/b", "..", "", "a\x00"])
def test_no_collection_leads_out_of_the_area(tmp_path: Path, collection: str) -> None:
    """An invalid collection name creates no folder."""
    with pytest.raises(BadInputError):
        UploadArea(tmp_path / "uploads").keep(collection, [Upload("a.md", io.BytesIO(NOTES))])
    assert not (tmp_path / "outside").exists()


def test_uploads_have_limits(server: Server) -> None:
    """Too many bytes, two files of one name, no file, no form or an invalid collection is refused."""
    assert _upload(server, ("large.txt", b"x" * 200_000)).status_code == 413
    assert _upload(server, ("a/x.md", NOTES), ("b/x.md", NOTES)).status_code == 400
    assert server.post("/v1/ingest", data={"collection": "c"}).status_code == 400
    assert server.post("/v1/ingest", json={"file": "no"}).status_code == 400
    assert _upload(server, ("a.md", NOTES), collection="../c").status_code == 400
    assert server.get("/v1/ingest/nothing").status_code == 404


def test_metrics_count_requests_stages_and_places(server: Server) -> None:
    """Metrics are labelled by route, never by content."""
    server.post("/v1/ask", json={"question": "a secret question about potassium"})
    server.get("/v1/answers/no-such-answer")
    text = server.get("/metrics").text
    assert 'winnow_requests_total{method="POST",route="/v1/ask",status="200"}' in text
    assert 'route="/v1/answers/{answer_id}",status="404"' in text
    assert 'winnow_stage_outcomes_total{stage="retrieval",status="ok"}' in text
    assert "winnow_in_progress 0.0" in text
    assert "secret" not in text
    assert "no-such-answer" not in text


class Held:
    """A forward model that waits for `go` in its first pass; `asked` holds the texts of every pass."""

    dim, token_dim, max_tokens = 2, None, 16

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.inside = threading.Event()
        self.go = threading.Event()

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:
        self.asked.append(list(texts))
        self.inside.set()
        assert self.go.wait(10)
        if "bad" in texts:
            raise ModelError("made up for the test")
        return [Encoding(np.array([len(text), 1], dtype=np.float32), None) for text in texts]

    def close(self) -> None:
        """Nothing is held open."""


def test_questions_that_come_together_share_a_pass() -> None:
    """Questions that arrive during a pass share the next one, and each gets its own vectors."""
    held = Held()
    model = SharedForward(held)
    assert shared(model) is model
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.encode, ["a"], tokens=True)
        assert held.inside.wait(10)
        others = [pool.submit(model.encode, ["b" * n], tokens=True) for n in range(2, 7)]
        prompted = pool.submit(model.encode, ["p"], tokens=True, prompt="query: ")
        while len(model._waiting) < 6:  # five alike, and one with a prompt
            time.sleep(0.01)
        held.go.set()
        assert first.result()[0].dense[0] == 1
        assert [other.result()[0].dense[0] for other in others] == [2, 3, 4, 5, 6]
        assert prompted.result()[0].dense[0] == 1
    assert model.passes == len(held.asked) == 3
    assert sorted(map(len, held.asked)) == [1, 1, 5]


def test_a_pass_that_fails_fails_for_nobody_but_whose_fault_it_is() -> None:
    """After a failed pass each text is encoded alone, so that only the faulty question fails."""
    held = Held()
    model = SharedForward(held)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.encode, ["a"], tokens=False)
        assert held.inside.wait(10)
        others = [pool.submit(model.encode, [text], tokens=False) for text in ("bb", "bad", "cccc")]
        while len(model._waiting) < 3:
            time.sleep(0.01)
        held.go.set()
        assert first.result()[0].dense[0] == 1
        assert [others[n].result()[0].dense[0] for n in (0, 2)] == [2, 4]
        with pytest.raises(ModelError):
            others[1].result()
    assert len(model.encode(["good"], tokens=False)) == 1


async def _taken(gate: Gate) -> None:
    async with gate.place():
        pass


def test_a_place_is_given_back_whatever_happens() -> None:
    """An error or a cancellation inside the gate gives the place back."""
    import asyncio

    async def scenario() -> Gate:
        gate = Gate(1, 1, queued=queued)
        with pytest.raises(ZeroDivisionError):
            async with gate.place():
                raise ZeroDivisionError
        async with gate.place():
            waiting = asyncio.create_task(_taken(gate))
            await asyncio.sleep(0)
            assert queued.count == 1
            waiting.cancel()
            await asyncio.wait({waiting})
        await _taken(gate)
        return gate

    queued = Queued()
    gate = asyncio.run(scenario())
    assert (gate.inside, gate.waiting, queued.count) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_shells_server_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """`winnow serve` prints its address, answers, and on a signal finishes its job and exits with 0."""
    data = tmp_path / "data"
    words = ["serve", "--port", "0", "--data-dir", str(data), "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "winnow", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx2.Client(base_url=url, timeout=60) as client:
            started = client.post("/v1/ingest", files={"file": ("kiwis.md", NOTES)})
            assert started.status_code == 202
            while client.get(started.headers["location"]).json()["status"] == "queued":
                time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "Traceback" not in said
    with serving(Settings.load(data_dir=data)) as again:
        asked = again.post("/v1/ask", json={"question": "What are kiwis rich in?"}).json()
        assert "vitamin C" in asked["text"]


def test_many_at_once_all_get_an_answer_that_is_logged(server: Server) -> None:
    """Under load every request gets an answer, and each is in the log."""
    with ThreadPoolExecutor(16) as pool:
        asked = [{"question": f"{QUESTION} ({n})"} for n in range(32)]
        replies = list(pool.map(lambda body: server.post("/v1/ask", json=body), asked))
    assert {reply.status_code for reply in replies} == {200}
    for reply in replies:
        assert server.get(f"/v1/answers/{reply.json()['id']}").status_code == 200
