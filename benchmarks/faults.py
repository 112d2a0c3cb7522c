"""Faults of what winnow depends on, at every door: each is flagged or a clear error, within its deadline.

    python -m benchmarks.faults [OF …]      # `make faults`; prints the table of docs/reliability.md

A question is asked in Python, on the shell and over HTTP while a chat model, a rerank API, a Qdrant server,
the database or the disk is faulty. `flagged`: an answer whose warnings name it. `error`: winnow's own error
with a way out; where reranking alone is faulty there has to be an answer. Anything else (a traceback, a
silent answer, a late one, threads that stay) is wrong. Full and read-only disks are mounted, which root may.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
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
    for name in ("hangs", "cut off", "reset", "503", "429", "HTML", "no JSON", "no answer"):
        yield Fault("Qdrant server", name, {"store": {"timeout_s": 1}}, REPLIES[name])
    yield Fault("Qdrant server", "refuses the key", {"store": {"timeout_s": 1}}, status(401))
    yield Fault("SQLite", "damaged", {}, harm=lambda data: _overwrite(data / "winnow.db"))
    yield Fault("SQLite", "empty", {}, harm=lambda data: (data / "winnow.db").write_bytes(b"") and None)
    yield Fault("SQLite", "locked", {}, harm=_lock)
    yield Fault("shard", "damaged", {}, harm=_harm_shard)
    yield Fault(
        "fingerprint", "damaged", {}, harm=lambda data: _overwrite(_collection(data) / "fingerprint.json")
    )
    yield Fault("data folder", "a file", {}, harm=_file_instead)
    yield Fault("disk", "full", {}, harm=_fill_disk)
    yield Fault("disk", "read-only", {}, harm=_protect_disk)


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


_undo: list[Callable[[], object]] = []


def _lock(data: Path) -> None:
    holder = sqlite3.connect(data / "winnow.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    _undo.append(holder.close)


def _fill_disk(data: Path) -> None:
    """Move the folder to a small disk of its own, and leave a megabyte there."""
    data.rename(aside := data.with_name("aside"))
    data.mkdir()
    _mount("-t", "tmpfs", "-o", "size=420m", "tmpfs", str(data))
    shutil.copytree(aside, data, dirs_exist_ok=True)
    (data / "filler").write_bytes(bytes(shutil.disk_usage(data).free - (1 << 20)))


def _protect_disk(data: Path) -> None:
    _mount("--bind", "-o", "ro", str(data), str(data))


def _mount(*words: str) -> None:
    if subprocess.run(["mount", *words], capture_output=True, check=False).returncode:
        raise _NotTriedError
    _undo.append(lambda: subprocess.run(["umount", "--lazy", words[-1]], check=True))


class _NotTriedError(Exception):
    """Only root may mount a disk."""


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
        with serving(settings, until_ready=False) as server:
            reply = server.post("/v1/ask", json={"question": QUESTION})
    except WinnowError as error:  # it does not start, and says why
        return "error" if error.way_out else f"no way out: {error}"
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
    with TemporaryDirectory(prefix="winnow-fault-") as place, Endpoint() as endpoint, ExitStack() as undone:
        here = Path(place)
        shutil.copytree(base / "data", here / "data")
        if fault.reply is not None:
            endpoint.reply = lambda _: fault.reply or ""
            for path in ("/v1/rerank", "/v2/rerank"):
                endpoint.routes[path] = lambda _: fault.reply or ""
        url = endpoint.url if fault.reply is not None else "http://127.0.0.1:9/v1"
        if fault.harm is not None:
            fault.harm(here / "data")
        while _undo:
            undone.callback(_undo.pop())
        chosen: dict[str, Any] = {
            "data_dir": str(here / "data"),
            "encoder": {"model": str(base / "mean"), "device": "cpu"},
            "llm": {"base_url": url, "timeout_s": TIMEOUT_S, "max_retries": 0, "api_key": "none"},
            "server": {"timeout_s": 10},
            **fault.settings,
        }
        if fault.of == "Qdrant server":
            endpoint.otherwise = fault.reply
            chosen["store"] = {"url": url.removesuffix("/v1"), **fault.settings["store"]}
        if fault.of == "rerank API":
            spec = f'api(profile=cohere,url="{url.removesuffix("/v1")}",timeout_s={TIMEOUT_S},retries=0)'
            chosen["rerank"] = {**fault.settings["rerank"], "spec": spec}
        (here / "winnow.toml").write_text(_toml(chosen), encoding="utf-8")
        yield Settings.load(**chosen)


def _toml(values: Mapping[str, Any], path: str = "") -> str:
    own = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    below = [
        f"[{path}{key}]\n{_toml(value, f'{path}{key}.')}"
        for key, value in values.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([*own, *below, ""])


def _tried(fault: Fault, door: Door, base: Path) -> str:
    try:
        with _faulty(fault, base) as settings:
            threads, started = threading.active_count(), time.monotonic()
            result = door(settings)
            took = time.monotonic() - started
    except _NotTriedError:
        return "not tried"
    gc.collect()
    if took > DEADLINE_S:
        result += f", after {took:.0f} s"
    end = time.monotonic() + 5
    while (left := threading.active_count() - threads) > _POOL and time.monotonic() < end:
        time.sleep(0.05)
    return result if left <= _POOL else f"{result}, {left} threads stay"


# Worker threads of the one event loop, which stay for the next question.
_POOL = 40


def main(only: Sequence[str]) -> None:
    with TemporaryDirectory(prefix="winnow-faults-") as place:
        base = Path(place)
        one, _ = encoders(base)
        write(base / "docs", *range(6))
        with closing(pipeline(base / "data", one)) as rag:
            rag.ingest(base / "docs")
            rag.ask(QUESTION)
        rows: dict[tuple[str, ...], list[str]] = {}
        wrong = 0
        for fault in faults():
            if only and fault.of not in only:
                continue
            results = [_tried(fault, door, base) for door in DOORS.values()]
            print(f"{fault.of}, {fault.name}: {', '.join(results)}", file=sys.stderr, flush=True)
            rows.setdefault((fault.of, *results), []).append(fault.name)
            right = ("flagged",) if fault.of in ANSWERED else ("flagged", "error")
            wrong += sum(result not in (*right, "not tried") for result in results)
    print(f"| of | faults | {' | '.join(DOORS)} |")
    print(f"|---|---|{'---|' * len(DOORS)}")
    for (of, *results), names in rows.items():
        print(f"| {of} | {', '.join(names)} | {' | '.join(results)} |")
    if wrong:
        raise SystemExit(f"{wrong} faults are neither flagged nor a clear error")


if __name__ == "__main__":
    main(sys.argv[1:])
