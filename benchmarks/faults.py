"""Faults of what winnow depends on, at every door: each is flagged or a clear error, within its deadline.

    python -m benchmarks.faults             # `make faults`; prints the table of docs/reliability.md

A question is asked in Python, on the shell and over HTTP while a chat model, a rerank API, a Qdrant server,
the database or the disk is faulty. `flagged`: an answer whose warnings name it. `error`: winnow's own error
with a way out; where reranking alone is faulty there has to be an answer. Anything else (a traceback, a
silent answer, a late one, threads that stay) is wrong.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typer.testing import CliRunner

from storage.errors import WinnowError
from tests.support.endpoint import Endpoint, Response, said, status
from tests.support.reindexing import encoders, pipeline, write
from tests.support.serving import serving
from winnow import RAGPipeline, Settings
from winnow.cli.app import app

QUESTION = "the dog"
# A call may take a second and is tried once; the rest is the machine's.
TIMEOUT_S, DEADLINE_S = 1.0, 20.0
CHAT = {"answer": {"answerer": "openai"}}
LISTWISE = {"rerank": {"spec": "listwise"}}
# What a question is answered without.
ANSWERED = ("chat model, reranking", "rerank API")
API = {"rerank": {"spec": "api(profile=cohere)", "api_keys": {"cohere": "none"}}}

REPLIES: dict[str, Response] = {
    "hangs": Response(body={}, delay=30),
    "cut off": Response(body={"a": "b" * 1_000}, cut=20),
    "reset": Response(reset=True),
    "503": status(503),
    "429": status(429, retry_after=0.1),
    "HTML": Response(body=b"<html>busy</html>", headers={"content-type": "text/html"}),
    "no JSON": Response(body=b"\xff\xfe{"),
    "no answer": Response(body={}),
    "half a character": said("\ud800 [1]"),
    "huge": Response(body=b"[" + b" " * (32 << 20)),
}
Harm = Callable[[Path], None]


@dataclass(frozen=True)
class Fault:
    """A fault: its settings, the reply of an endpoint, or what is done to the data folder."""

    of: str
    name: str
    settings: Mapping[str, Any]
    reply: Response | None = None
    harm: Harm | None = None


def faults() -> Iterator[Fault]:
    for of, chosen in (("chat model", CHAT), ("chat model, reranking", LISTWISE), ("rerank API", API)):
        yield Fault(of, "refuses", chosen)
        for name, reply in REPLIES.items():
            yield Fault(of, name, chosen, reply)
    yield Fault("Qdrant server", "refuses", {"store": {"url": "http://127.0.0.1:9", "timeout_s": 1}})
    yield Fault("SQLite", "damaged", {}, harm=lambda data: _overwrite(data / "winnow.db"))
    yield Fault("SQLite", "empty", {}, harm=lambda data: (data / "winnow.db").write_bytes(b"") and None)
    yield Fault("SQLite", "locked", {}, harm=_lock)
    yield Fault("shard", "damaged", {}, harm=_harm_shard)
    yield Fault(
        "fingerprint", "damaged", {}, harm=lambda data: _overwrite(_collection(data) / "fingerprint.json")
    )
    yield Fault("data folder", "a file", {}, harm=_file_instead)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"\xa5" * max(1_000, path.stat().st_size))


def _collection(data: Path) -> Path:
    return data / "collections" / "default"


def _harm_shard(data: Path) -> None:
    for path in (_collection(data) / "shard").rglob("segment.json"):
        _overwrite(path)


def _file_instead(data: Path) -> None:
    shutil.rmtree(data)
    data.write_text("a file")


_held: list[sqlite3.Connection] = []


def _lock(data: Path) -> None:
    holder = sqlite3.connect(data / "winnow.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    _held.append(holder)


Door = Callable[[Settings], str]


def by_python(settings: Settings) -> str:
    with RAGPipeline.from_settings(settings) as rag:
        try:
            answer = rag.ask(QUESTION)
        except WinnowError as error:
            return "error" if error.way_out else f"no way out: {error}"
    return _judged([str(one) for one in answer.warnings])


def by_shell(settings: Settings) -> str:
    file = settings.data_dir.parent / "winnow.toml"
    before = Path.cwd()
    os.chdir(file.parent)
    try:
        ended = CliRunner().invoke(app, ["ask", QUESTION, "--json"])
    finally:
        os.chdir(before)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        return f"traceback: {ended.exception!r}"
    told = json.loads(ended.stdout)
    if "error" in told:
        return "error" if told["error"]["way_out"] else f"no way out: {told['error']['message']}"
    return _judged(told["warnings"])


def by_http(settings: Settings) -> str:
    try:
        with serving(settings) as server:
            reply = server.post("/v1/ask", json={"question": QUESTION})
    except AssertionError as error:  # it never got ready, and said why
        return "error" if "way_out" in str(error) else str(error)
    told = reply.json()
    if reply.status_code == 500 and told["code"] == "error":
        return f"500: {told['detail']}"
    return _judged(told["warnings"]) if reply.status_code == 200 else "error"


def _judged(warnings: list[str]) -> str:
    return "flagged" if warnings else "a silent answer"


DOORS: dict[str, Door] = {"Python": by_python, "shell": by_shell, "HTTP": by_http}


@contextmanager
def _faulty(fault: Fault, base: Path) -> Iterator[Settings]:
    """Settings of a copy of the folder, with the fault in place, also as a file for the shell."""
    with TemporaryDirectory(prefix="winnow-fault-") as place, Endpoint() as endpoint:
        here = Path(place)
        shutil.copytree(base / "data", here / "data")
        if fault.reply is not None:
            endpoint.reply = lambda _: fault.reply or ""
            for path in ("/v1/rerank", "/v2/rerank"):
                endpoint.routes[path] = lambda _: fault.reply or ""
        url = endpoint.url if fault.reply is not None else "http://127.0.0.1:9/v1"
        if fault.harm is not None:
            fault.harm(here / "data")
        chosen: dict[str, Any] = {
            "data_dir": str(here / "data"),
            "encoder": {"model": str(base / "mean"), "device": "cpu"},
            "llm": {"base_url": url, "timeout_s": TIMEOUT_S, "max_retries": 0, "api_key": "none"},
            "server": {"timeout_s": 10},
            **fault.settings,
        }
        if fault.of == "rerank API":
            spec = f'api(profile=cohere,url="{url.removesuffix("/v1")}",timeout_s={TIMEOUT_S},retries=0)'
            chosen["rerank"] = {**fault.settings["rerank"], "spec": spec}
        (here / "winnow.toml").write_text(_toml(chosen), encoding="utf-8")
        yield Settings.load(**chosen)
        while _held:
            _held.pop().close()


def _toml(values: Mapping[str, Any], path: str = "") -> str:
    own = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    below = [
        f"[{path}{key}]\n{_toml(value, f'{path}{key}.')}"
        for key, value in values.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([*own, *below, ""])


def _tried(fault: Fault, door: Door, base: Path) -> str:
    with _faulty(fault, base) as settings:
        threads, started = threading.active_count(), time.monotonic()
        result = door(settings)
        took = time.monotonic() - started
    gc.collect()
    if took > DEADLINE_S:
        result += f", after {took:.0f} s"
    end = time.monotonic() + 5
    while (left := threading.active_count() - threads) > _POOL and time.monotonic() < end:
        time.sleep(0.05)
    return result if left <= _POOL else f"{result}, {left} threads stay"


# Worker threads of the one event loop, which stay for the next question.
_POOL = 40


def main() -> None:
    with TemporaryDirectory(prefix="winnow-faults-") as place:
        base = Path(place)
        one, _ = encoders(base)
        write(base / "docs", *range(6))
        with closing(pipeline(base / "data", one)) as rag:
            rag.ingest(base / "docs")
            rag.ask(QUESTION)
        print(f"| of | fault | {' | '.join(DOORS)} |")
        print(f"|---|---|{'---|' * len(DOORS)}")
        wrong = 0
        for fault in faults():
            results = [_tried(fault, door, base) for door in DOORS.values()]
            right = ("flagged",) if fault.of in ANSWERED else ("flagged", "error")
            wrong += sum(result not in right for result in results)
            print(f"| {fault.of} | {fault.name} | {' | '.join(results)} |", flush=True)
    if wrong:
        raise SystemExit(f"{wrong} faults are neither flagged nor a clear error")


if __name__ == "__main__":
    main()
