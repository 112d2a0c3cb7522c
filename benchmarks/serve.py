"""Load-test the server against the same pipeline behind a plain FastAPI handler.

    python benchmarks/serve.py CORPUS [--askers 50] [--seconds 60] [--rounds 1] [--data-dir FOLDER]
                               [--cross-encoder]

CORPUS is a BEIR folder (corpus.jsonl, queries.jsonl); --data-dir keeps its collection for a second run. In
turn, `--rounds` times, each in its own process on the loopback: `winnow serve`, and a FastAPI application
of one plain `def` handler around `pipeline.ask`, whose questions share no pass. Each asker sends its next
question when its last was answered. No question comes twice, so that nothing is answered from memory.

An answer counts as logged when its id is in the log after the server has gone. CPU is the server's own time
an answer (Linux): other work on the machine disturbs it less than the clock. --cross-encoder reranks with one
of random weights and two layers, which is good for load and not for answers; otherwise the default chain.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Files of this folder would shadow the packages that are measured.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

if TYPE_CHECKING:
    from rerank.strategies.cross_encoder import CrossEncoder
    from winnow import RAGPipeline

SERVED, PLAIN = "winnow serve", "plain FastAPI handler"
PATIENCE_S = 120
_ID = re.compile(rb'"id"\s*:\s*"([0-9a-f]{16})"')
_HEAD = f"{'':<24}{'answers':>8}{'logged':>8}{'p50 s':>8}{'p95 s':>8}{'answers/s':>11}{'CPU ms':>8}   other"


@dataclass(slots=True)
class Load:
    """The results of one round."""

    ids: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    logged: int = 0

    @property
    def throughput(self) -> float:
        return len(self.ids) / self.wall_s

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu_s / len(self.ids)

    def row(self, name: str) -> str:
        cuts = statistics.quantiles(self.seconds, n=100)
        other = ", ".join(f"{count} × {status}" for status, count in self.other.items()) or "none"
        return (
            f"{name:<24}{len(self.ids):>8}{self.logged:>8}{cuts[49]:>8.2f}{cuts[94]:>8.2f}"
            f"{self.throughput:>11.1f}{self.cpu_ms:>8.0f}   {other}"
        )


async def asker(port: int, questions: Iterator[str], until: float, load: Load) -> None:
    """Ask one question at a time over a persistent connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until and (question := next(questions, None)) is not None:
        started = time.perf_counter()
        status, body = await posted(reader, writer, port, question)
        found = _ID.search(body) if status == 200 else None
        if found is None:
            load.other[str(status)] += 1
        else:
            load.seconds.append(time.perf_counter() - started)
            load.ids.append(found[1].decode())
    writer.close()


async def posted(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, question: str
) -> tuple[int, bytes]:
    """Status and body. The bare protocol, as a client library would take its share of the cores."""
    body = json.dumps({"question": question}).encode()
    head = (
        f"POST /v1/ask HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"(?im)^content-length: (\d+)", answer)
    assert length is not None, answer
    return int(answer.split(" ", 2)[1]), await reader.readexactly(int(length[1]))


async def loaded(process: int, port: int, questions: Sequence[str], askers: int, seconds: float) -> Load:
    """Run a round: a few questions to warm up, then all askers."""
    rest, load = iter(questions), Load()
    await asker(port, iter([next(rest) for _ in range(3)]), time.perf_counter() + PATIENCE_S, Load())
    started, before = time.perf_counter(), cpu_s(process)
    async with asyncio.TaskGroup() as group:
        for _ in range(askers):
            group.create_task(asker(port, rest, started + seconds, load))
    load.wall_s, load.cpu_s = time.perf_counter() - started, cpu_s(process) - before
    return load


def cpu_s(process: int) -> float:
    """The processor time of a process, in seconds; 0 where there is no /proc."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Iterator[tuple[int, int]]:
    """Run a server and yield its process and port; it prints its address as JSON and ends on SIGTERM."""
    with subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, **environment},
        cwd=folder,  # where no winnow.toml lies
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            yield process.pid, int(url.rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def serve_plainly(data: Path) -> None:
    """Serve the comparison: the simplest handler that one would write around a pipeline."""
    import uvicorn
    from fastapi import FastAPI

    from winnow import RAGPipeline, Settings
    from winnow.app.json_model.answers import AnswerJson
    from winnow.server.run import address, bound

    app, pipeline = FastAPI(), RAGPipeline.from_settings(Settings.load(data_dir=data))
    reranker = unshared(pipeline) if pipeline.settings.rerank.spec == "cross-encoder" else None

    @app.post("/v1/ask")
    def ask(asked: dict[str, str]) -> dict[str, Any]:
        return AnswerJson.of(pipeline.ask(asked["question"], rerank=reranker and reranker())).to_json()

    with pipeline, bound("127.0.0.1", 0) as listener:
        print(json.dumps({"url": address(listener)}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def unshared(pipeline: RAGPipeline) -> Callable[[], CrossEncoder]:
    """Builds cross-encoders of the same weights, each with its own passes."""
    from rerank.cross.loading import load_pair_model
    from rerank.strategies.cross_encoder import CrossEncoder

    parts = pipeline.wiring.rerank_parts(None, pipeline.wiring.encoder)
    model = load_pair_model(Path(parts.cross_encoder), device=parts.device)
    return lambda: CrossEncoder("cross-encoder", replace(model), cache=parts.cache, fingerprint="plain")


def cross_encoder(folder: Path) -> Path:
    """A BERT classifier of two layers and random weights, with the packaged encoder's tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from retrieval.models.hub import MINILM
    from retrieval.models.locate import locate

    tokenizer = AutoTokenizer.from_pretrained(locate(MINILM).folder)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=512, initializer_range=0.2,
    )  # fmt: skip
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def ingested(corpus: Path, data: Path) -> None:
    """Ingest the corpus into the collection `default`, unless it exists already."""
    from ingest.loaders.base import Columns
    from winnow import RAGPipeline, Settings

    with RAGPipeline.from_settings(Settings.load(data_dir=data)) as pipeline:
        if not pipeline.wiring.stores.names():
            columns = Columns(text="text", id="id", title="title")
            print(pipeline.ingest(corpus / "corpus.jsonl", columns=columns).totals)


def asked_of(corpus: Path) -> list[str]:
    """Return all questions, each once, always in the same order."""
    with (corpus / "queries.jsonl").open(encoding="utf-8", newline="\n") as lines:
        questions = sorted({json.loads(line)["text"] for line in lines})
    random.Random(0).shuffle(questions)
    return questions


def logged(data: Path, ids: Sequence[str]) -> int:
    """Return how many of these answers the log holds."""
    with sqlite3.connect(data / "winnow.db") as database:
        kept = {row[0] for row in database.execute("SELECT id FROM answers")}
    return sum(one in kept for one in ids)


def compare(options: argparse.Namespace, data: Path, environment: Mapping[str, str]) -> None:
    questions, rounds = asked_of(options.corpus), list[tuple[Load, Load]]()
    ways = {
        SERVED: ["-m", "winnow", "serve", "--port", "0", "--data-dir", str(data), "--json"],
        PLAIN: [str(Path(__file__).resolve()), "--plain", str(data)],
    }
    print(_HEAD)
    for _ in range(options.rounds):
        found = {}
        for name, command in ways.items():
            with running(command, environment, data) as (process, port):
                run = partial(loaded, process, port, questions, options.askers, options.seconds)
                load = asyncio.run(run())
            load.logged = logged(data, load.ids)
            found[name] = load
            print(load.row(name), flush=True)
        rounds.append((found[SERVED], found[PLAIN]))
    told(f"answers/s, {SERVED} ÷ {PLAIN}", [own.throughput / other.throughput for own, other in rounds])
    if all(load.cpu_s for both in rounds for load in both):
        told(f"CPU an answer, {PLAIN} ÷ {SERVED}", [other.cpu_ms / own.cpu_ms for own, other in rounds])


def told(what: str, ratios: Sequence[float]) -> None:
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"{what}: median {statistics.median(ratios):.2f} ({shown})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--askers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--cross-encoder", action="store_true")
    parser.add_argument("--plain", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        serve_plainly(options.plain)
        return
    if options.corpus is None:
        parser.error("CORPUS is missing")
    with tempfile.TemporaryDirectory() as temporary:
        data = (options.data_dir or Path(temporary) / "data").resolve()
        ingested(options.corpus, data)
        environment = {}
        if options.cross_encoder:
            model = cross_encoder(Path(temporary) / "cross-encoder")
            environment = {"WINNOW_RERANK__SPEC": "cross-encoder", "WINNOW_RERANK__CROSS_ENCODER": str(model)}
        compare(options, data, environment)


if __name__ == "__main__":
    main()
