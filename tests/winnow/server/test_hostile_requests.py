"""Requests that cost much: bounded in their size, stopped between batches, and never at others' expense."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from rerank.strategies.late_interaction import LateInteraction
from storage.records import Candidate
from storage.vectors import Encoding
from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import Settings
from winnow.app import portal
from winnow.server.api.schemas_faces import MOST_CHARACTERS

pytestmark = pytest.mark.heavy

GIB = 1 << 30


class GatedEncoder:
    """Token vectors of ones; each call waits until it may go on, and all texts are counted."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.texts = 0

    def reads(self, text: str) -> bool:
        return True

    def encode_query(self, text: str) -> Encoding:
        return self.encode_passages([text], tokens=True)[0]

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        import numpy as np

        ones = np.ones((2, 2), np.float32)
        if len(texts) > 1:
            self.texts += len(texts)
            self.begun.set()
            assert self.go_on.wait(20)
        return [Encoding(ones[0], ones) for _ in texts]


def test_late_interaction_stops_between_batches() -> None:
    """Of 1,000 passages only those are encoded that were under way when nobody waited any more."""
    encoder = GatedEncoder()
    stage = LateInteraction(encoder, None)
    candidates = [Candidate.from_text(f"text {number}", id=str(number)) for number in range(1_000)]
    ended: list[BaseException] = []

    def ask() -> None:
        import asyncio

        async def limited() -> None:
            await asyncio.wait_for(portal.acall(stage.rerank, "question", candidates, 5), 0.3)

        try:
            asyncio.run(limited())
        except BaseException as error:  # noqa: BLE001 - what ended it is what is looked at
            ended.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert encoder.begun.wait(20)
    time.sleep(0.6)  # its time is up meanwhile
    encoder.go_on.set()
    asking.join(20)
    assert [type(error) for error in ended] == [TimeoutError]
    assert encoder.texts <= 128


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = ingested(tmp_path_factory.mktemp("hostile"))
    with serving(Settings.load(data_dir=data, server={"timeout_s": 3})) as running:
        yield running


def test_the_texts_of_a_request_are_bounded_together(server: Server) -> None:
    """Each is within its own bound; all of them are not."""
    text = "a" * 150_000
    whole = [text] * (MOST_CHARACTERS // len(text) + 1)
    for path, body in (
        ("/v1/rerank", {"query": "q", "documents": whole}),
        ("/v2/rerank", {"query": "q", "documents": [{"text": one} for one in whole]}),
        ("/rerank", {"query": "q", "texts": whole}),
        (
            "/v1/chat/completions",
            {"model": "winnow", "messages": [{"role": "user", "content": one} for one in whole]},
        ),
    ):
        reply = server.post(path, json=body)
        assert reply.status_code == 422, reply.text
        assert "characters together" in reply.text


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux' /proc")
@pytest.mark.parametrize("spec", ["late-interaction", "cross-encoder", "diversity"])
def test_twenty_hostile_requests_leave_others_served(server: Server, spec: str) -> None:
    """They end with their time; meanwhile and afterwards a search is answered, in little memory."""
    text = " ".join(f"w{number}orte" for number in range(120))
    body = {"model": spec, "query": QUESTION, "documents": [f"{n} {text}" for n in range(1_000)]}
    assert server.post("/v1/search", json={"question": QUESTION, "rerank": "none"}).status_code == 200
    idle, peak, done = _resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, _resident())

    def attack(_: int) -> int:
        return httpx2.post(f"{server.url}/v1/rerank", json=body, timeout=300).status_code

    watching = threading.Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(20) as pool:
        attacks = [pool.submit(attack, number) for number in range(20)]
        time.sleep(1)
        assert server.get("/healthz").status_code == 200
        statuses = [one.result() for one in attacks]
    search = server.post("/v1/search", json={"question": QUESTION, "rerank": "none"})
    done.set()
    watching.join()
    assert search.status_code == 200, search.text
    assert set(statuses) <= {200, 429, 504}
    assert peak - idle < GIB, f"{(peak - idle) >> 20} MiB above idle"
