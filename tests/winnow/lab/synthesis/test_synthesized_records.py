"""Questions, passages and labels that a model writes: filtered, graded, and where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rerank.training.records import read_records
from retrieval.models.hub import MINILM
from tests.support.endpoint import Endpoint, Reply, Request, said
from tests.support.rerank_endpoint import Author
from tests.support.synthesis import ALSO, WRITTEN, ask, author, counts, report, run
from winnow.cli.app import app

pytestmark = pytest.mark.heavy


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
