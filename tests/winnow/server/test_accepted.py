"""What was answered with 202 is kept; what is deleted waits its turn; no input at the edge is a 500."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.serving import Server, ingested, serving
from tests.support.shell import as_json
from winnow import RAGPipeline, Settings
from winnow.server.errors import BusyError, Problems
from winnow.server.upload_jobs import Jobs, UploadJob
from winnow.server.uploads import Upload, UploadArea

pytestmark = pytest.mark.heavy

HUGE = 10**30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Settings.load(data_dir=ingested(tmp_path_factory.mktemp("edges")))) as running:
        yield running


def _upload(client: httpx2.Client, name: str) -> httpx2.Response:
    text = f"# {name}\n\nThe lighthouse of {name} was lit in winter.\n"
    return client.post("/v1/ingest", files={"file": (f"{name}.md", text.encode())})


def _until_ended(client: httpx2.Client, job: str) -> None:
    while client.get(job).json()["status"] in ("queued", "running"):
        time.sleep(0.05)


def _listed(data: Path) -> set[str]:
    return {Path(row["source"]).name for row in as_json("documents", "list", "--data-dir", data)}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_accepted_uploads_outlive_the_server(tmp_path: Path, number: signal.Signals) -> None:
    """Whatever ends the server, the next one ingests what was accepted, and doctor names it until then."""
    data, names = tmp_path / "data", [f"harbour{n}" for n in range(8)]
    words = ["serve", "--port", "0", "--data-dir", str(data), "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "winnow", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx2.Client(base_url=url, timeout=60) as client:
            assert [_upload(client, name).status_code for name in names] == [202] * len(names)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    waiting = [
        check["finding"]
        for check in as_json("doctor", "--data-dir", data)
        if "not ingested yet" in check["finding"]
    ]
    assert waiting
    if number == signal.SIGTERM:
        assert f"{len(waiting)} uploaded files wait for the next start" in said
    with serving(Settings.load(data_dir=data)) as again:
        while [
            job for job in again.get("/v1/ingest").json()["jobs"] if job["status"] in ("queued", "running")
        ]:
            time.sleep(0.05)
    assert _listed(data) == {f"{name}.md" for name in names}
    with RAGPipeline.from_settings(Settings.load(data_dir=data)) as rag:
        assert rag.wiring.uploads.all() == []


def test_a_re_index_takes_accepted_uploads_along(tmp_path: Path) -> None:
    """A re-index between two servers reads what was accepted and not ingested yet."""
    data = ingested(tmp_path)
    with RAGPipeline.from_settings(Settings.load(data_dir=data)) as rag:
        area = UploadArea(rag.settings.uploads_dir)
        jobs = Jobs(rag, area, Problems([]))
        jobs.finish()  # nobody works any more
        paths = area.keep("default", [Upload("quay.md", BytesIO(b"# Quay\n\nThe quay is long.\n"))])
        jobs.accept(UploadJob(collection="default", paths=tuple(paths)))
        assert "quay.md" in {Path(one.path).name for one in rag.ingest(reindex=True).documents}
    assert "quay.md" in _listed(data)


def test_a_deletion_comes_between_two_jobs(server: Server) -> None:
    """While uploads are ingested one after the other, a document can be deleted."""
    found = server.get("/v1/documents", params={"text": "fruit"}).json()["documents"]
    started = [_upload(server, f"pier{n}") for n in range(6)]
    assert server.delete(f"/v1/documents/{found[0]['id']}").status_code == 200
    jobs = server.get("/v1/ingest").json()["jobs"]
    assert any(job["status"] == "queued" for job in jobs), "it did not wait for all of them"
    for reply in started:
        _until_ended(server, reply.headers["location"])


def test_who_waits_too_long_for_a_turn_is_told(tmp_path: Path) -> None:
    """The wait for a turn is bounded."""
    with RAGPipeline.from_settings(Settings.load(data_dir=tmp_path)) as rag:
        jobs = Jobs(rag, UploadArea(tmp_path), Problems([]))
        with jobs.alone(1), pytest.raises(BusyError, match=r"waited 0\.05 s"), jobs.alone(0.05):
            pass
        with jobs.alone(0.05):
            pass
        jobs.finish()


def test_only_this_user_reads_what_is_kept(server: Server) -> None:
    """Under a usual umask, folders are 0700, the database and uploads 0600."""
    before = os.umask(0o022)
    try:
        data = server.pipeline.settings.data_dir
        assert _upload(server, "jetty").status_code == 202
    finally:
        os.umask(before)
    folders = [data, data / "collections", data / "collections" / "default", data / "uploads"]
    assert {oct(folder.stat().st_mode & 0o777) for folder in folders} == {"0o700"}
    files = [*data.glob("winnow.db*"), *data.glob("uploads/*/*")]
    assert len(files) >= 2
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
    exported = data.parent / "export.jsonl"
    assert server.post("/v1/ask", json={"question": "What is reranking?"}).status_code == 200
    server.pipeline.log.export("jsonl", exported)
    assert oct(exported.stat().st_mode & 0o777) == "0o600"


EDGES: list[dict[str, Any]] = [
    {"rerank": f"late-interaction(k={'9' * 400})"},
    {"rerank": f"late-interaction:{'9' * 5000}"},
    {"rerank": f"late-interaction(k={'-' + '9' * 5000})"},
    {"where": 'date > "0001-01-01T00:00:00+23:59"'},
    {"where": 'date < "9999-12-31T23:59:59-23:59"'},
    {"where": f"page = {'9' * 5000}"},
    {"where": f"page > {'9' * 18}"},
    {"top_k_retrieve": HUGE},
    {"top_k_rerank": -HUGE},
    {"min_score": HUGE},
    {"expand": HUGE},
]


@pytest.mark.parametrize("wish", EDGES, ids=lambda wish: next(iter(wish)))
@pytest.mark.parametrize("path", ["/v1/search", "/v1/ask"])
def test_no_wish_at_the_edge_is_an_error_of_the_server(
    server: Server, path: str, wish: dict[str, Any]
) -> None:
    """Numbers of any size and dates at the edge are answered or refused by name."""
    reply = server.post(path, json={"question": "What is reranking?", **wish})
    assert reply.status_code < 500, reply.text


def test_no_number_in_an_address_is_an_error_of_the_server(server: Server) -> None:
    """Every number in the query of every route may be of any size."""
    routes = server.get("/openapi.json").json()["paths"]
    tried = 0
    for path, methods in routes.items():
        for parameter in methods.get("get", {}).get("parameters", ()):
            for value in (str(HUGE), f"-{HUGE}", "9" * 5000, "0001-01-01T00:00:00+23:59"):
                address = path.replace("{", "").replace("}", "")
                reply = server.get(address, params={parameter["name"]: value})
                assert reply.status_code < 500, (path, parameter["name"], value, reply.text)
                tried += 1
    assert tried > 40
