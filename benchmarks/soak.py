"""Run a server for a long time under a mixed, steady load; draws docs/soak.svg.

    python -P benchmarks/soak.py CORPUS [--minutes 30] [--per-second 2] [--data-dir FOLDER]

CORPUS is a BEIR folder (corpus.jsonl, queries.jsonl). `winnow serve` is asked a question now and then; every
twentieth request is another one: an upload that replaces a document, a replay, a search, a list of the log,
a question whose asker hangs up at once. Every ten seconds the server's memory, threads, open files and the
latencies since are read. It fails where a request fails, an answer is not in the log, or memory, threads or
files of the last third are above those of the third before by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import matplotlib as mpl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
mpl.use("svg")

import matplotlib.pyplot as plt

from benchmarks.serve import asked_of, ingested, logged, running

TARGET = Path(__file__).resolve().parent.parent / "docs" / "soak.svg"
EVERY_S = 10
GROWTH = 1.1


@dataclass(slots=True)
class Sample:
    """The server's state at a moment, and the answers since the one before."""

    minute: float
    memory_mb: float
    threads: int
    files: int
    seconds: Sequence[float]


@dataclass(slots=True)
class Soak:
    """The requests so far, and their results."""

    url: str
    questions: Iterator[str]
    ids: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, number: int) -> None:
        """Send one request; what fails is counted."""
        kinds = (self.upload, self.replay, self.search, self.listing, self.hang_up)
        kind = kinds[number // 20 % len(kinds)] if number % 20 == 19 else self.ask
        with httpx2.Client(base_url=self.url, timeout=60) as client:
            try:
                kind(client)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and shown
                with self.lock:
                    self.failures[f"{kind.__name__}: {type(error).__name__}: {str(error)[:80]}"] += 1
        with self.lock:
            self.requests[kind.__name__] += 1

    def ask(self, client: httpx2.Client) -> None:
        started = time.perf_counter()
        reply = client.post("/v1/ask", json={"question": self._next()}).raise_for_status()
        with self.lock:
            self.seconds.append(time.perf_counter() - started)
            self.ids.append(reply.json()["id"])

    def upload(self, client: httpx2.Client) -> None:
        text = f"# A note\n\nIt was written at {time.time()}. {' '.join(['word'] * 500)}"
        client.post("/v1/ingest", files={"file": ("note.md", text.encode())}).raise_for_status()

    def replay(self, client: httpx2.Client) -> None:
        if self.ids:
            client.post(f"/v1/answers/{self.ids[-1]}/replay", json={"rerank": "fast"}).raise_for_status()

    def search(self, client: httpx2.Client) -> None:
        client.post("/v1/search", json={"question": self._next()}).raise_for_status()

    def listing(self, client: httpx2.Client) -> None:
        client.get("/v1/answers").raise_for_status()

    def hang_up(self, client: httpx2.Client) -> None:
        try:
            client.post("/v1/ask", json={"question": self._next()}, timeout=0.05)
        except httpx2.TimeoutException:
            return

    def _next(self) -> str:
        with self.lock:
            return next(self.questions)


def repeated(questions: Sequence[str]) -> Iterator[str]:
    """The questions again and again, so that scores are found in the cache as well."""
    number = 0
    while True:
        yield questions[number % len(questions)]
        number += 1


def sample(process: int, minute: float, seconds: Sequence[float]) -> Sample:
    """Read a process from /proc."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    numbers = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    memory, threads = int(numbers["VmRSS"][0]) / 1024, int(numbers["Threads"][0])
    return Sample(minute, memory, threads, files, seconds)


def soaked(process: int, soak: Soak, minutes: float, per_second: float) -> list[Sample]:
    """Load the server; return the samples."""
    chance, samples, known = random.Random(1), list[Sample](), 0
    started = time.monotonic()
    sampled = started
    with ThreadPoolExecutor(8) as pool:
        number = 0
        while (now := time.monotonic()) < started + 60 * minutes:
            pool.submit(soak.request, number)
            number += 1
            if now >= sampled + EVERY_S:
                with soak.lock:
                    since, known = soak.seconds[known:], len(soak.seconds)
                samples.append(sample(process, (now - started) / 60, since))
                sampled = now
            time.sleep(chance.expovariate(per_second))
    return samples


def thirds(values: Sequence[float]) -> list[float]:
    """The medians of three thirds."""
    size = max(1, len(values) // 3)
    return [statistics.median(values[place * size :][:size]) for place in range(3)]


def drawn(samples: Sequence[Sample]) -> None:
    """Draw memory, threads, files and latency over time."""
    minutes = [one.minute for one in samples]
    figure, axes = plt.subplots(2, 2, figsize=(9, 5), sharex=True)
    slow = [statistics.quantiles(one.seconds, n=20)[18] if len(one.seconds) > 1 else 0 for one in samples]
    usual = [statistics.median(one.seconds) if one.seconds else 0 for one in samples]
    axes[0, 0].plot(minutes, [one.memory_mb for one in samples], label="memory, MB")
    axes[0, 1].plot(minutes, [one.threads for one in samples], label="threads")
    axes[1, 0].plot(minutes, [one.files for one in samples], label="open files")
    axes[1, 1].plot(minutes, usual, label="seconds an answer, p50")
    axes[1, 1].plot(minutes, slow, label="p95")
    for axis in axes.flat:
        axis.set_ylim(bottom=0)
        # above the axes: within them it lies over a curve
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, frameon=False, ncols=2)
    for axis in axes[1]:
        axis.set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(TARGET, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--per-second", type=float, default=2)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    if options.minutes < 1:
        parser.error("less than a minute shows nothing")
    with tempfile.TemporaryDirectory() as temporary:
        data = (options.data_dir or Path(temporary) / "data").resolve()
        ingested(options.corpus, data)
        command = ["-m", "winnow", "serve", "--port", "0", "--data-dir", str(data), "--json"]
        with running(command, {}, data) as (process, port):
            soak = Soak(f"http://127.0.0.1:{port}", repeated(asked_of(options.corpus)))
            soak.ask(httpx2.Client(base_url=soak.url, timeout=120))
            samples = soaked(process, soak, options.minutes, options.per_second)
        kept = logged(data, soak.ids)
    drawn(samples)
    wrong = [f"{count} × {what}" for what, count in soak.failures.items()]
    print(json.dumps({"requests": soak.requests, "answers": len(soak.ids), "logged": kept}))
    if kept < len(soak.ids):
        wrong.append(f"{len(soak.ids) - kept} answers are not in the log")
    for name in ("memory_mb", "threads", "files"):
        values = thirds([float(getattr(one, name)) for one in samples])
        print(f"{name}: " + ", ".join(f"{value:.0f}" for value in values))
        if values[2] > GROWTH * values[1]:
            wrong.append(f"{name} grows: {values[1]:.0f}, then {values[2]:.0f}")
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    main()
