"""Calls of a synthesis: paid once, planned by a dry run, told first, and going on after a stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rerank.training.records import read_records
from tests.support.endpoint import Endpoint, completion
from tests.support.endpoint import Response as HttpResponse
from tests.support.synthesis import author, counts, report, run

pytestmark = pytest.mark.heavy


def test_nothing_is_paid_twice(words: list[object], out: Path, endpoint: Endpoint) -> None:
    """Running again after the budget ended a run makes only the missing calls."""
    first = report(run("queries", "--max-calls", 5, *words))
    assert (first["stopped"], first["usage"]["calls"]) == ("max_calls=5 is reached", 5)
    assert first["left"] > 0
    partly = list(read_records(out))
    second = report(run("queries", *words))
    sent = [json.dumps(request.body["messages"]) for request in endpoint.requests]
    assert len(set(sent)) == len(sent) == 5 + second["usage"]["calls"]
    whole = out.read_bytes()
    assert counts(partly).items() <= counts(list(read_records(out))).items()
    third = report(run("queries", *words))
    assert (third["usage"]["calls"], third["kept"]) == (0, second["kept"])
    assert out.read_bytes() == whole


def test_a_dry_run_asks_nothing(
    words: list[object], out: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run estimates the calls (at most) and their cost, makes none, and writes no file."""
    monkeypatch.setenv("WINNOW_LLM__PRICES", '{"gpt-4o-mini": {"prompt": 10, "completion": 20}}')
    planned = json.loads(run("queries", "--dry-run", *words).stdout)
    assert planned["dry_run"]
    assert planned["units"] == 4
    assert planned["cost"] == pytest.approx(
        (planned["prompt_tokens"] * 10 + planned["completion_tokens"] * 20) / 1e6
    )
    assert endpoint.requests == []
    assert not list(out.parent.glob("out.jsonl*"))
    done = report(run("queries", *words))
    assert done["usage"]["calls"] <= planned["calls"]
    assert json.loads(run("queries", "--dry-run", *words).stdout)["paid"] >= 4


def test_whom_it_asks_is_said_first(words: list[object], endpoint: Endpoint, asked: Path) -> None:
    """Endpoint and model are printed first, on standard error; standard output holds the report alone."""
    result = run("passages", asked, "--model", "some-model", *words)
    assert f"asking some-model at {endpoint.url}" in " ".join(result.stderr.split())
    assert json.loads(result.stdout)["model"] == "some-model"


def test_a_persons_report(words: list[object], asked: Path) -> None:
    """Without --json the report gives the records kept, the cost and the file."""
    result = run("passages", asked, *words[:-1])
    assert result.exit_code == 0
    assert "2 records kept from 2 questions" in result.stdout
    assert "cost unknown" in " ".join(result.stdout.split())
    assert "out.jsonl" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on_where_it_was(
    words: list[object], out: Path, endpoint: Endpoint, how: signal.Signals
) -> None:
    """A killed or interrupted run leaves no half line, and repeats only the calls in progress."""
    endpoint.reply = lambda request: HttpResponse(body=completion(author()(request)), delay=0.4)
    command = [sys.executable, "-m", "winnow", "synthesize", "queries", "--in-flight", "2", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(endpoint.requests) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(how)
    _, complaints = process.communicate(timeout=60)
    assert b"Traceback" not in complaints
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert list(read_records(out))
    asked_before = len(endpoint.requests)
    endpoint.reply = author()
    found = report(run("queries", *words))
    sent = [json.dumps(request.body["messages"]) for request in endpoint.requests]
    assert found["left"] == 0
    assert len(sent) - len(set(sent)) <= 2
    assert len(sent) == asked_before + found["usage"]["calls"]
    assert found["kept"] == len(list(read_records(out)))
    assert not out.with_name("out.jsonl.part").exists()
