"""Tries every way of asking against every way that an endpoint behaves.

    python benchmarks/endpoint_matrix.py                         # all cells, a few minutes
    python benchmarks/endpoint_matrix.py --doors python --only "401, key echoed"

Each cell is one question over real sockets: what an endpoint does (rows), asked by each strategy, by the
answerer whole and streamed (columns), through Python, the shell and HTTP. A cell shows `ok`, `repaired`,
`partial`, `fallback` or `error` (with a way out). With `!` it is wrong: another state than the row allows, a
traceback, a key in sight (also in the log), or later than its deadline. The exit code counts those.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from storage.errors import WinnowError
from tests.support.endpoint import Endpoint, Reply, Request, Response, events, said, status
from tests.support.rerank_endpoint import SHAPES, Oracle, rerank_route
from tests.support.serving import events as events_of
from tests.support.serving import serving
from tests.support.shell import run
from winnow import RAGPipeline, Settings

KEY = "sk-matrix-0123456789abcdefghij"
QUESTION = "How high are spring tides?"
GRADES = {"Spring tides are the highest.": 3.0, "Neap tides are low.": 1.0, "Herons fish at ebb.": 0.0}
DEADLINE_S = 15
STRATEGIES = ("pointwise", "listwise", "pairwise", "setwise(size=3)", "tournament(rounds=1)")
ANSWERS = ("answer", "streamed")

Asked = Callable[[Request], Reply]


def well(request: Request) -> Reply:
    """As a model should: labels and orders for passages, a cited sentence otherwise."""
    if "<passage id=" in request.body["messages"][-1]["content"]:
        return Oracle(GRADES)(request)
    return "Spring tides are the highest [1]."


def refusing(code: int, part: str, words: Any, *, role: bool = False) -> Asked:
    """Refuse requests that hold a part, or a system message."""

    def asked(request: Request) -> Reply:
        system = any(one["role"] == "system" for one in request.body["messages"])
        if system if role else part in request.body:
            return Response(
                status=code, body=words if isinstance(words, dict) else {"error": {"message": words}}
            )
        return well(request)

    return asked


def changed(change: Callable[[str], Reply]) -> Asked:
    """Change what would be said; streams get it as pieces."""

    def asked(request: Request) -> Reply:
        reply = change(str(well(request)))
        if isinstance(reply, Response) and isinstance(reply.body, dict) and request.body.get("stream"):
            choice = reply.body["choices"][0]
            text = choice["message"].get("content") or ""
            return Response(lines=events([text], finish_reason=choice["finish_reason"]))
        return reply

    return asked


@dataclass(frozen=True)
class Row:
    """A behaviour of an endpoint; `api` is a rerank API's instead, by default the same."""

    asked: Reply | Asked
    allowed: frozenset[str]
    api: Reply | None = None


FINE, WORSE = frozenset({"ok", "repaired"}), frozenset({"fallback", "partial", "error"})
ANY = FINE | WORSE
LOC = {"detail": [{"loc": ["body", "temperature"], "msg": "extra fields not permitted"}]}
BOMB = Response(body=gzip.compress(b" " * 30_000_000), headers={"content-encoding": "gzip"})


def failing(reply: Response) -> Row:
    return Row(reply, WORSE, reply)


ROWS: Mapping[str, Row] = {
    "as it should": Row(well, FINE),
    "401, key echoed": failing(status(401, f"Incorrect API key provided: {KEY}.")),
    "403 for logprobs": Row(refusing(403, "logprobs", "You are not allowed to request logprobs"), FINE),
    "422 for temperature": Row(refusing(422, "temperature", LOC), FINE),
    "400 for the system": Row(refusing(400, "", "System role not supported", role=True), FINE),
    "500 for the schema": Row(refusing(500, "response_format", "response_format: not implemented"), FINE),
    "429, in 2 minutes": failing(status(429, retry_after=120)),
    "500": failing(status(500, f"upstream said no to Bearer {KEY}")),
    "connection reset": failing(Response(reset=True)),
    "silence": failing(Response(delay=30.0)),
    "an error page": failing(Response(body=b"<html>502 Bad Gateway</html>")),
    "200 with an error": failing(Response(body={"error": "model not loaded"})),
    "a gzip bomb": failing(BOMB),
    "30 MB": failing(Response(body=b"x" * 30_000_000)),
    "reasoning in tags": Row(changed(lambda text: said(f"<think>[3] no. 0</think>\n{text}")), FINE),
    "reasoning in a field": Row(changed(lambda text: said(text, reasoning_content="[3] No. 0")), FINE),
    "nothing but thought": Row(changed(lambda _t: said(None, reasoning_content="Hm.")), WORSE),
    "cut by its length": Row(changed(lambda text: said(text[:3], finish_reason="length")), ANY),
    "half a character": Row(changed(lambda text: said(f"{text} \ud800")), ANY),
    "only talk": Row(changed(lambda _t: said("That is a matter of taste.")), ANY),
}  # fmt: skip


def settings(folder: Path, endpoint: Endpoint, encoder: Endpoint, api: str) -> dict[str, Any]:
    return {
        "data_dir": str(folder),
        "llm": {"base_url": endpoint.url, "model": "m", "api_key": KEY, "timeout_s": 1.0, "max_retries": 1,
                "max_reply_bytes": 1 << 20},
        "encoder": {"provider": "openai", "model": "e", "base_url": encoder.url, "api_key": "x", "dim": 8},
        "rerank": {"api_keys": {"custom": KEY}, "cache": False},
        "answer": {"answerer": "openai"},
        "server": {"specs": [*STRATEGIES, api]},
    }  # fmt: skip


class Door:
    """One way in. `ask` gives a state and everything that a person could see."""

    def __init__(self, pipeline: RAGPipeline | None = None, server: Any = None) -> None:
        self._pipeline, self._server = pipeline, server

    def ask(self, way: str) -> tuple[str, str]:
        if self._server is not None:
            return self._http(way)
        return self._python(way) if self._pipeline is not None else _shell(way)

    def _python(self, way: str) -> tuple[str, str]:
        assert self._pipeline is not None
        try:
            if way == "streamed":
                *pieces, found = self._pipeline.stream(QUESTION, rerank="none")
            elif way == "answer":
                pieces, found = [], self._pipeline.ask(QUESTION, rerank="none")
            else:
                pieces, found = [], self._pipeline.search(QUESTION, rerank=way)
        except WinnowError as error:
            return "error", f"{error} {error.way_out}"
        return found.stages[-1].status, f"{pieces} {found!r}"

    def _http(self, way: str) -> tuple[str, str]:
        path = "/v1/ask" if way in ANSWERS else "/v1/search"
        body = {"question": QUESTION, "rerank": "none" if way in ANSWERS else way}
        if way == "streamed":
            body["stream"] = True
        reply = self._server.post(path, json=body)
        if reply.status_code != 200:
            return (
                "error" if reply.status_code in (502, 503, 504) else f"HTTP {reply.status_code}"
            ), reply.text
        if way != "streamed":
            return reply.json()["stages"][-1]["status"], reply.text
        name, last = events_of(reply.text)[-1]
        return (last["stages"][-1]["status"] if name == "answer" else name), reply.text


def _shell(way: str) -> tuple[str, str]:
    if way in ANSWERS:
        words = ["ask", QUESTION, "--rerank", "none", *(["--stream"] if way == "streamed" else ["--json"])]
    else:
        words = ["search", QUESTION, "--rerank", way, "--json"]
    found = run(*words)
    seen = found.stdout + found.stderr
    if found.exit_code or found.exception:
        known = isinstance(found.exception, SystemExit | None) and found.exit_code == 1
        return "error" if known and seen.strip() else f"exit {found.exit_code}: {found.exception!r}", seen
    if way == "streamed":
        return next((one for one in ("fallback", "partial", "repaired") if one in seen), "ok"), seen
    return json.loads(found.stdout)["stages"][-1]["status"], seen


@contextmanager
def door(name: str, chosen: dict[str, Any]) -> Iterator[Door]:
    if name == "shell":
        variables = {
            f"WINNOW_{section.upper()}" + (f"__{key.upper()}" if key else ""): value
            for section, values in chosen.items()
            for key, value in (values.items() if isinstance(values, dict) else [("", values)])
        }
        before = dict(os.environ)
        as_text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in variables.items()}
        os.environ.update(as_text)
        try:
            yield Door()
        finally:
            os.environ.clear()
            os.environ.update(before)
        return
    with RAGPipeline.from_settings(Settings.load(**chosen)) as pipeline:
        if name == "python":
            yield Door(pipeline)
            return
        with serving(Settings.load(**chosen), pipeline) as server:
            yield Door(pipeline, server)


def cells(name: str, rows: Mapping[str, Row], ways: Sequence[str], data: Path) -> int:
    """Print one door's table; the number of wrong cells."""
    wrong = 0
    with Endpoint() as endpoint, Endpoint() as encoder:
        api = f'api(profile=custom,url="{endpoint.root}/v1/rerank",model=m,timeout_s=1,retries=0)'
        chosen = settings(data / name, endpoint, encoder, api)
        (data / "texts").mkdir(exist_ok=True)
        for place, text in enumerate(GRADES):
            (data / "texts" / f"{place}.md").write_text(text, encoding="utf-8")
        with RAGPipeline.from_settings(Settings.load(**chosen)) as pipeline:
            pipeline.ingest(data / "texts")
        healthy = rerank_route(SHAPES["cohere"], lambda _q, text: 1.0 if "Spring" in text else 0.1)
        print(f"\n{name:<22}" + "".join(f"{way.partition('(')[0]:>12}" for way in ways), flush=True)
        for title, row in rows.items():
            shown = []
            endpoint.reply = row.asked
            endpoint.routes["/v1/rerank"] = (lambda _r, r=row.api: r) if row.api else healthy
            with door(
                name, chosen
            ) as entrance:  # a new one for each row: what an endpoint refuses is remembered
                for way in ways:
                    started = time.monotonic()
                    state, seen = entrance.ask(api if way == "api" else way)
                    late = time.monotonic() - started > DEADLINE_S
                    allowed = FINE if way == "api" and row.api is None else row.allowed
                    bad = state not in allowed or late or KEY in seen or "Traceback" in seen
                    wrong += bad
                    shown.append(f"{state}{' late' if late else ''}{'!' if bad else ''}")
            print(f"{title:<22}" + "".join(f"{one[:11]:>12}" for one in shown), flush=True)
        kept = b"".join(file.read_bytes() for file in (data / name).rglob("*.db*"))
        if KEY.encode() in kept:
            print(f"a key is in the log of {name}!")
            wrong += 1
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--doors", nargs="+", default=["python", "shell", "http"])
    parser.add_argument("--only", nargs="+", choices=sorted(ROWS), metavar="ROW")
    parser.add_argument("--ways", nargs="+", default=[*STRATEGIES, "api", *ANSWERS])
    chosen = parser.parse_args()
    rows = {title: row for title, row in ROWS.items() if not chosen.only or title in chosen.only}
    wrong = 0
    for name in chosen.doors:
        with tempfile.TemporaryDirectory() as data:
            wrong += cells(name, rows, chosen.ways, Path(data))
    print(f"\n{wrong} wrong cells")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
