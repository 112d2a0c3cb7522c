"""`winnow synthesize` against a real endpoint: filtering, costs, faults."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rerank.training.records import TrainingRecord, read_records
from retrieval.models.hub import MINILM
from tests.support.endpoint import Endpoint, Reply, Request, completion, said, status
from tests.support.endpoint import Response as HttpResponse
from tests.support.rerank_endpoint import Author
from winnow.cli.app import app

pytestmark = pytest.mark.heavy

# A document's name → its text, and the questions that the model writes for it.
DOCUMENTS = {
    "ferry.txt": (
        "The ferry to the outer islands leaves from pier four at nine o'clock every morning, and bicycles "
        "travel on it free of charge all year.",
        ["When does the ferry leave for the outer islands?", "How often is bread baked with sourdough?"],
    ),
    "bread.txt": (
        "Sourdough bread is baked at two hundred and thirty degrees for forty minutes, the first twenty of "
        "them under a lid so that the crust stays soft.",
        ["How hot is the oven for sourdough bread?", "sourdough bread is baked at two hundred"],
    ),
    "lease.txt": (
        "A tenant may end the lease of an apartment with three months' notice to the end of a month, and the "
        "notice has to be given in writing by letter.",
        [
            "How much notice must a tenant give to end a lease?",
            "how much notice must a tenant give to end the lease?",
        ],
    ),
    "图书馆.txt": (
        "图书馆每天上午九点开门，晚上八点闭馆。读者凭借书证一次最多可以借阅十本图书，借期为三十天，到期前可以续借一次，"
        "每次续借的期限为十五天。逾期归还的图书，每本每天收取一角钱的费用，超过三十天仍未归还的，将暂停借阅权限。"
        "遗失图书的，应当按照定价赔偿。",
        ["图书馆一次可以借多少本书？", "图书逾期不还要交多少钱？"],
    ),
}  # fmt: skip
WRITTEN = {text[:30]: questions for text, questions in DOCUMENTS.values()}
# The lease also answers this one: a false negative that must not be taken.
ALSO = ("How hot is the oven for sourdough bread?", "A tenant may end")


def ask(text: str, n: int) -> str:
    return next(questions[n] for start, questions in WRITTEN.items() if start in text)


def grade(question: str, text: str) -> int:
    if question == ALSO[0] and ALSO[1] in text:
        return 3
    if text.startswith("This answers it"):
        return 3
    return next((3 for start, asked in WRITTEN.items() if start in text and question in asked), 0)


def author() -> Author:
    return Author(grade, ask)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["synthesize", *map(str, words)])


def report(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def counts(records: list[TrainingRecord]) -> dict[str, tuple[int, int]]:
    return {record.query: (len(record.positives), len(record.negatives)) for record in records}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the documents ingested."""
    root = tmp_path_factory.mktemp("synthesis")
    (root / "docs").mkdir()
    for name, (text, _) in DOCUMENTS.items():
        (root / "docs" / name).write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["ingest", str(root / "docs"), "--data-dir", str(root / "data")])
    assert result.exit_code == 0, result.output
    return root / "data"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        running.reply = author()
        yield running


@pytest.fixture
def words(data: Path, endpoint: Endpoint, tmp_path: Path) -> list[object]:
    """Return the options that every command in this file ends with."""
    return ["--out", tmp_path / "out.jsonl", "--data-dir", data, "--base-url", endpoint.url, "--json"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A file of questions, one twice, in two languages."""
    lines = ["When does the ferry leave for the outer islands?", "图书馆一次可以借多少本书？"]
    path = tmp_path / "questions.jsonl"
    rows = [{"id": f"q{i}", "text": text} for i, text in enumerate([*lines, lines[0].upper()])]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_questions_are_kept_where_their_passage_is_found_and_answers(words: list[object], out: Path) -> None:
    """Copied, repeated and misplaced questions are rejected with a reason; false negatives are dropped."""
    found = report(run("queries", "--round-trip", 1, "--negatives", 2, *words))
    records = list(read_records(out))
    assert found["rejected"] == {
        "its own passage is not among the first 1 retrieved": 1,
        "copied from the passage": 1,
        "asked already": 1,
    }
    assert found["dropped"] == {"answers the question too": 1}
    assert (found["units"], found["kept"], found["left"], found["failed"]) == (4, 5, 0, 0)
    assert {record.query for record in records} == {
        "When does the ferry leave for the outer islands?",
        "How hot is the oven for sourdough bread?",
        "How much notice must a tenant give to end a lease?",
        *WRITTEN["图书馆每天上午九点开门，晚上八点闭馆。读者凭借书证一次最多可"],
    }
    baked = next(record for record in records if "oven" in record.query)
    assert all(ALSO[1] not in passage.text for passage in baked.passages)
    assert baked.positives[0].source.endswith("bread.txt")


def test_a_record_says_where_it_comes_from(
    words: list[object], out: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every record names model, templates, collection, source and time, and its cost if priced."""
    endpoint.reply = _priced
    monkeypatch.setenv("WINNOW_LLM__PRICES", '{"m": {"prompt": 10, "completion": 20}}')
    found = report(run("queries", "--model", "m", "--sample", 1, *words))
    records = list(read_records(out))
    one = records[0].provenance
    assert (one.method, one.model, one.collection) == ("queries", "m", "default")
    assert len(one.prompt) == 16
    assert one.origin.endswith(".txt")
    assert one.created_at.startswith("20")
    assert found["usage"]["cost"] == pytest.approx(found["usage"]["calls"] * (1000 * 10 + 100 * 20) / 1e6)
    assert sum(record.provenance.cost or 0 for record in records) == pytest.approx(found["usage"]["cost"])


def _priced(request: Request) -> Reply:
    return said(author()(request), usage=(1000, 100))


def test_prompts_are_in_the_passages_language(words: list[object], endpoint: Endpoint) -> None:
    """Prompts are in the passage's language."""
    report(run("queries", *words))
    sent = [request.body["messages"][-1]["content"] for request in endpoint.requests]
    assert all(("图书馆每天" in prompt) == ("撰写" in prompt) for prompt in sent if '"questions"' in prompt)
    assert any("打分" in prompt for prompt in sent)


def test_passages_for_questions(words: list[object], out: Path, asked: Path) -> None:
    """Each question gets one passage that answers it and hard negatives that do not."""
    found = report(run("passages", asked, "--negatives", 3, *words))
    assert counts(list(read_records(out))) == {
        "When does the ferry leave for the outer islands?": (1, 3),
        "图书馆一次可以借多少本书？": (1, 3),
    }
    assert found["units"] == 2
    assert found["usage"]["calls"] == 6


def test_negatives_that_answer_are_not_kept(
    words: list[object], out: Path, asked: Path, endpoint: Endpoint
) -> None:
    """No record is written when the model's check finds that every negative answers the question."""
    endpoint.reply = Author(lambda question, text: 3, ask)
    found = report(run("passages", asked, *words))
    assert found["rejected"] == {"no negative is left": 2}
    assert list(read_records(out)) == []
    out.unlink()
    unchecked = report(run("passages", asked, "--check", "none", *words))
    assert (unchecked["kept"], unchecked["usage"]["calls"]) == (2, 0)


def test_labels_for_retrieved_passages(words: list[object], out: Path, asked: Path) -> None:
    """Every retrieved passage has a grade from 0 to 3, the best first, with its id in the collection."""
    report(run("labels", asked, "--depth", 3, "--window", 2, *words))
    ferry = next(record for record in read_records(out) if "ferry" in record.query)
    assert ferry.top_label == 3
    assert [passage.label for passage in ferry.passages] == [3, 0, 0]
    assert ferry.passages[0].source.endswith("ferry.txt")
    assert ferry.id == "q0"
    assert all(passage.id for passage in ferry.passages)


def test_a_reranker_can_check(
    data: Path, words: list[object], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reranker's scores replace grades and are kept; unreadable passages are rejected and counted."""
    monkeypatch.setenv("WINNOW_ENCODER__MODEL", MINILM)
    english = ["--collection", "english"]
    CliRunner().invoke(app, ["ingest", str(data.parent / "docs"), "--data-dir", str(data), *english])
    found = report(run("queries", "--check", "late-interaction", *english, *words))
    assert found["usage"]["calls"] == 4
    assert [reason for reason in found["rejected"] if "cannot read the question" in reason]
    record = next(record for record in read_records(out) if "ferry" in record.query)
    best = record.positives[0].score
    assert best is not None
    assert all(one.score is not None and one.score <= best * 0.95 for one in record.negatives)


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
