"""Questions over HTTP that share a cross-encoder's passes: scores, cancellation, deadlines."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rerank.cross.loading import load_pair_model
from rerank.cross.models import PairModel
from rerank.strategies.cross_encoder import CrossEncoder
from storage.records import Candidate, Generation, Outcome, Retrieval
from storage.vectors import Floats
from tests.support import tiny_models
from tests.support.serving import Server, serving
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy

COUNT = 12


class Passages:
    """A retriever of passages of several lengths, and an answerer of one word."""

    async def search(self, query: str, top_k: int) -> Retrieval:
        words = " ".join(tiny_models.SENTENCES).split()
        texts = [" ".join(words[: 2 + (len(query) + 3 * n) % 20]) + f" {chr(97 + n)}" for n in range(COUNT)]
        return Retrieval(tuple(Candidate.from_text(text, id=str(n)) for n, text in enumerate(texts)))

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        return Generation(text="read", outcome=Outcome("generation"), answerer="none")


@dataclass
class Held:
    """The model's forward pass, which waits for `go`."""

    forward: Callable[[Any, Any, Any], Floats]
    inside: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:
        self.inside.set()
        assert self.go.wait(20)
        return self.forward(ids, mask, types)


@dataclass
class Shared:
    """A server over a model whose first pass is held, with questions in progress."""

    server: Server
    model: PairModel
    held: Held
    pool: ThreadPoolExecutor

    def ask(self, question: str, **choices: Any) -> Future[httpx2.Response]:
        """Ask, and return once the question is in a pass or waits for one."""
        before = len(self.model.passes._requests)
        url, body = f"{self.server.url}/v1/ask", {"question": question}
        asked = self.pool.submit(httpx2.post, url, json=body, **{"timeout": 60, **choices})
        assert self.held.inside.wait(20)
        while len(self.model.passes._requests) <= before:
            assert not asked.done(), asked.result().text
            time.sleep(0.002)
        return asked


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PairModel:
    folder = tiny_models.bert(tmp_path_factory.mktemp("models") / "bert")
    return replace(load_pair_model(folder, device="cpu"), batch_tokens=256)


@contextmanager
def sharing(model: PairModel, folder: Path, **server: Any) -> Iterator[Shared]:
    held = Held(model.forward)
    holding = replace(model, forward=held)
    settings = Settings.load(data_dir=folder / "data", server=server)
    parts = Passages()
    pipeline = RAGPipeline(parts, CrossEncoder("cross-encoder", holding), parts, settings=settings)
    with ThreadPoolExecutor(16) as pool, serving(settings, pipeline) as running:
        yield Shared(running, holding, held, pool)


def scores(reply: httpx2.Response) -> dict[str, float]:
    assert reply.status_code == 200, reply.text
    return {one["chunk_id"]: one["scores"]["cross-encoder"] for one in reply.json()["candidates"]}


def test_questions_together_get_the_scores_of_questions_alone(model: PairModel, tmp_path: Path) -> None:
    """Eight concurrent questions take fewer passes than alone, with the same scores, all logged."""
    questions = ["what reads the passage" + " a" * n for n in range(8)]
    with sharing(model, tmp_path) as shared:
        waiting = [shared.ask(question) for question in questions]
        shared.held.go.set()
        together = [scores(one.result()) for one in waiting]
        passes = shared.model.passes.count
        alone = [scores(shared.server.post("/v1/ask", json={"question": one})) for one in questions]
        assert shared.server.get("/v1/answers").json()["total"] == 16
    assert passes < shared.model.passes.count - passes
    for found, expected in zip(together, alone, strict=True):
        assert len(found) == COUNT
        assert found == pytest.approx(expected, abs=1e-4)


def test_who_leaves_takes_nobody_along(model: PairModel, tmp_path: Path) -> None:
    """A client that leaves while its question waits for a pass does not affect the others."""
    with sharing(model, tmp_path) as shared:
        first = shared.ask("what is read first")
        leave(shared, "what nobody waits for")
        last = shared.ask("what is read last")
        shared.held.go.set()
        assert len(scores(first.result())) == len(scores(last.result())) == COUNT
        while "winnow_in_progress 0.0" not in shared.server.get("/metrics").text:
            time.sleep(0.01)
        assert shared.model.passes._requests == []


def leave(shared: Shared, question: str) -> None:
    """Ask, and close the connection once the question waits for a pass."""
    before = len(shared.model.passes._requests)
    url, body = httpx2.URL(shared.server.url), json.dumps({"question": question})
    head = "POST /v1/ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(f"{head}{len(body)}\r\n\r\n{body}".encode())
        while len(shared.model.passes._requests) <= before:
            time.sleep(0.002)


def test_who_is_out_of_time_takes_nobody_along(model: PairModel, tmp_path: Path) -> None:
    """Questions that time out in a slow pass get 504, and the model serves the next one."""
    with sharing(model, tmp_path, timeout_s=1) as shared:
        late = [shared.ask("what is slow"), shared.ask("what waits behind it")]
        time.sleep(1.2)
        shared.held.go.set()
        assert [one.result().status_code for one in late] == [504, 504]
        assert len(scores(shared.server.post("/v1/ask", json={"question": "what is quick"}))) == COUNT


def test_an_end_finishes_what_shares_a_pass(model: PairModel, tmp_path: Path) -> None:
    """On a signal the server finishes the questions that share a pass."""
    with sharing(model, tmp_path) as shared:
        begun = [shared.ask("what is read"), shared.ask("what is read beside it")]
        threading.Timer(0.5, shared.held.go.set).start()
    assert [len(scores(one.result())) for one in begun] == [COUNT, COUNT]
