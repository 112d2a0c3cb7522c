"""Faults, unusable replies and requests that cannot be met: nothing is lost, and it is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank.training.records import read_records
from tests.support.endpoint import Endpoint, Reply, Request, said, status
from tests.support.endpoint import Response as HttpResponse
from tests.support.synthesis import author, report, run

pytestmark = pytest.mark.heavy


def _cut(reply: str) -> str:
    return reply[: len(reply) // 2]


def _once(fault: Reply) -> Callable[[Request], Reply]:
    """Make the first try of every prompt meet the fault."""
    met: set[str] = set()
    knows = author()

    def reply(request: Request) -> Reply:
        key = request.body["messages"][1]["content"].rpartition("}")[0]  # without a word about a first reply
        if key in met:
            return knows(request)
        met.add(key)
        return fault if not isinstance(fault, str) else _cut(knows(request))

    return reply


@pytest.mark.parametrize(
    "fault",
    [status(429, retry_after=0.01), status(500), HttpResponse(reset=True), said(""), "half the JSON"],
    ids=["429", "500", "reset", "empty", "truncated"],
)
def test_a_passing_fault_loses_nothing(
    words: list[object], out: Path, endpoint: Endpoint, asked: Path, fault: Reply
) -> None:
    """After rate limits, errors and cut connections or replies, retries complete the output."""
    endpoint.reply = _once(fault)
    found = report(run("passages", asked, *words))
    assert found["kept"] == len(list(read_records(out))) == 2
    assert (found["left"], found["rejected"]) == (0, {})


def test_prose_around_the_json_is_no_matter(
    words: list[object], out: Path, endpoint: Endpoint, asked: Path
) -> None:
    """Prose around the JSON of a reply is ignored."""
    endpoint.reply = lambda request: f"Of course!\n```json\n{author()(request)}\n```\nAnything else?"
    assert report(run("passages", asked, *words))["kept"] == 2


def test_refusals_and_chatter_are_counted_and_paid_once(
    words: list[object], endpoint: Endpoint, asked: Path
) -> None:
    """Unusable replies are rejected with a reason, and a second run makes no calls for them."""
    endpoint.reply = lambda request: (
        said(None, refusal="I cannot help.") if "ferry" in str(request.body) else "That is hard to say."
    )
    found = report(run("passages", asked, *words))
    assert found["rejected"] == {"the model refused": 1, "the reply could not be read": 1}
    assert len(endpoint.requests) == 3
    assert report(run("passages", asked, *words))["usage"]["calls"] == 0


def test_an_endpoint_that_is_down_is_said_and_asked_again_later(
    words: list[object], out: Path, endpoint: Endpoint, asked: Path
) -> None:
    """An endpoint that is down gives exit code 1, and the next run asks again."""
    endpoint.reply = status(401, "no such key")
    result = run("passages", asked, *words)
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert found["left"] == 2
    assert "API key" in found["problems"]
    endpoint.reply = author()
    assert report(run("passages", asked, *words))["kept"] == 2


@pytest.mark.parametrize(
    ("arguments", "said_so"),
    [
        (["queries", "--collection", "nothere"], "nothere"),
        (["queries", "--check", "late-interacton"], "late-interaction"),
        (["queries", "--min-letters", "9999"], "no passage of 9999 letters"),
        (["queries", "--examples", "none.jsonl"], "none.jsonl"),
        (["passages", "none.jsonl"], "none.jsonl"),
        (["labels", "bad.jsonl"], "bad.jsonl:2"),
        (["queries", "--prompts", "prompts"], "en/queries.txt"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_asked(
    words: list[object], out: Path, endpoint: Endpoint, arguments: list[str], said_so: str
) -> None:
    """Impossible requests exit with 2 (JSON under --json), without a call or a file."""
    Path("bad.jsonl").write_text('{"text": "fine"}\n{"txt": "not"}\n')
    Path("prompts/en").mkdir(parents=True)
    Path("prompts/en/queries.txt").write_text("no line of dashes")
    result = run(*arguments, *words)
    assert result.exit_code == 2, result.output
    error = json.loads(result.stdout)["error"]
    assert said_so in error["message"] + error["way_out"]
    assert endpoint.requests == []
    assert not list(out.parent.glob("out.jsonl*"))


def test_a_file_of_somebody_elses_is_not_replaced(words: list[object], out: Path, asked: Path) -> None:
    """An existing file is replaced only if the journal shows that winnow wrote it."""
    out.write_text("precious\n")
    result = run("passages", asked, *words)
    assert result.exit_code == 2
    assert out.read_text() == "precious\n"
