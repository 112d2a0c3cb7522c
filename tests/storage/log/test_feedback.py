"""Feedback, statistics and exports of the log."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import BadInputError, NotFoundError
from storage.log.answer_log import AnswerLog
from storage.log.records import AnswerFilter, AnswerSummary, Feedback
from storage.log.stats import percentile
from storage.records import Answer, Outcome, Usage
from tests.support.log_samples import DATABASES, a_candidate, a_database, a_full_answer, a_plain_answer


@pytest.fixture(params=DATABASES)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnswerLog]:
    with a_database(request.param, tmp_path) as database:
        yield AnswerLog(database)


def test_feedback_comes_back_put_together(log: AnswerLog) -> None:
    """The latest verdict and grade count, every note is kept, and the list shows them."""
    log.save(a_plain_answer(1))
    assert log.feedback_of("answer-000001") == Feedback()
    log.feedback("answer-000001", good=True, note="很好", grades={1: 2})
    both = log.feedback("answer-000001", good=False, grades={1: 3, 2: 0})
    assert both == Feedback(good=False, notes=("很好",), grades={1: 3, 2: 0})
    assert log.feedback("answer-000001", note="second") == log.feedback_of("answer-0")
    assert log.feedback_of("answer-000001").notes == ("很好", "second")
    summary = log.summary("answer-000001")
    assert (summary.feedback, summary.judged) == ("bad", 2)


def test_feedback_leaves_the_answer_as_it_is(log: AnswerLog) -> None:
    """Feedback is stored separately and does not change the answer."""
    log.save(a_full_answer())
    log.feedback(a_full_answer().id, good=True, grades={50: 1})
    assert log.get(a_full_answer().id) == a_full_answer()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no feedback"),
        ({"grades": {1: 4}}, "not a grade"),
        ({"grades": {1: -1}}, "not a grade"),
        ({"grades": {0: 1}}, "no passage 0"),
        ({"grades": {1: 1, 3: 1}}, "no passage 3"),
    ],
)
def test_feedback_that_means_nothing_is_refused_whole(
    log: AnswerLog, given: dict[str, object], message: str
) -> None:
    """Empty feedback, or an invalid grade or passage, is refused and nothing is stored."""
    log.save(a_plain_answer(1))
    with pytest.raises(BadInputError, match=message) as caught:
        log.feedback("answer-000001", **given)  # type: ignore[arg-type]
    assert caught.value.way_out
    assert log.feedback_of("answer-000001") == Feedback()


def test_feedback_on_an_unknown_answer_shows_what_is_near(log: AnswerLog) -> None:
    """Feedback on an unknown answer suggests ids that exist."""
    log.save(a_plain_answer(1))
    with pytest.raises(NotFoundError) as caught:
        log.feedback("answer-9", good=True)
    assert "answer-000001" in caught.value.way_out


def test_stats_tell_each_strategy_apart(log: AnswerLog) -> None:
    """Times, cost, failures and feedback, for each spec and each of its stages."""
    for number, ms in enumerate((10.0, 20.0, 30.0, 400.0)):
        status = ("ok", "repaired", "partial", "fallback")[number]
        stage = Outcome(
            "listwise", status, "" if number == 0 else "why", ms, Usage(2, 10, 1, 0.25 if number else None)
        )
        log.save(a_plain_answer(number, rerank="listwise:5", stages=(Outcome("retrieval", ms=1.0), stage)))
    log.save(a_plain_answer(9, answered=False))
    log.feedback("answer-000000", good=True, grades={1: 1})
    log.feedback("answer-000001", good=False)
    listwise, plain = log.stats()
    assert (listwise.rerank, listwise.answers, listwise.answered) == ("listwise:5", 4, 4)
    assert (listwise.ms_p50, listwise.ms_p95) == (21.0, 401.0)
    assert (listwise.cost, listwise.cost_known) == (0.75, 3)
    assert (listwise.flagged, listwise.fallbacks) == (3, 1)
    assert (listwise.good, listwise.bad, listwise.judged) == (1, 1, 1)
    assert [stage.name for stage in listwise.stages] == ["retrieval", "listwise"]
    stage = listwise.stages[1]
    assert (stage.runs, stage.ms_p50, stage.ms_p95, stage.calls, stage.cost) == (4, 20.0, 400.0, 8, 0.75)
    assert (stage.repaired, stage.partial, stage.fallbacks) == (1, 1, 1)
    assert (plain.rerank, plain.answers, plain.answered, plain.cost) == ("maxsim", 1, 0, None)
    assert log.stats(AnswerFilter(answered=False)) == (plain,)
    assert log.stats(AnswerFilter(collection="none")) == ()


def test_percentiles_are_values_that_occurred() -> None:
    """Percentiles are nearest-rank: always a time that occurred."""
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile(values, 1.0)) == (50.0, 95.0, 100.0)
    assert (percentile([7.0], 0.95), percentile([], 0.5)) == (7.0, 0.0)


def shaped(answer: Answer, feedback: Feedback, summary: AnswerSummary) -> dict[str, object]:
    """Return the fields of an entry that these tests compare."""
    return {
        "id": answer.id,
        "question": answer.question,
        "good": feedback.good,
        "replay_of": summary.replay_of,
    }


def test_json_lines_hold_everything(log: AnswerLog, tmp_path: Path) -> None:
    """JSON Lines hold one object per line, newest first, with Chinese unescaped."""
    log.save(a_full_answer())
    log.save(a_plain_answer(1), replay_of=a_full_answer().id)
    log.feedback(a_full_answer().id, good=True, grades={1: 3})
    target = tmp_path / "new folder" / "log.jsonl"
    assert log.export("jsonl", target, shape=shaped) == 2
    text = target.read_text(encoding="utf-8")
    assert "为什么需要重排序" in text
    by_id = {each["id"]: each for each in map(json.loads, text.splitlines())}
    assert by_id["answer-000001"]["replay_of"] == a_full_answer().id
    assert by_id[a_full_answer().id]["good"] is True
    assert [path.name for path in target.parent.iterdir()] == ["log.jsonl"]


def test_csv_is_for_spreadsheets(log: AnswerLog, tmp_path: Path) -> None:
    """CSV has one row per answer, neutralises formulas, and keeps line breaks within their cell."""
    log.save(a_full_answer())
    log.save(a_plain_answer(1, minutes=1, question='=HYPERLINK("http://x")', text="-1+1"))
    assert log.export("csv", tmp_path / "log.csv", shape=shaped) == 2
    with (tmp_path / "log.csv").open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["question"], first["answer"]) == ('\'=HYPERLINK("http://x")', "'-1+1")
    assert second["question"] == a_full_answer().question
    assert (second["status"], second["cost"], second["calls"]) == ("partial", "0.0125", "3")
    assert second["cited"] == "docs/0 重排序.md; docs/2 重排序.md"


def test_judged_answers_become_a_test_collection(log: AnswerLog, tmp_path: Path) -> None:
    """BEIR's three files: every candidate of a judged answer, its question, and the grades."""
    log.save(a_plain_answer(1, question="问题"))
    log.save(
        a_plain_answer(
            2,
            minutes=1,
            question="问题",
            candidates=(a_candidate(1, final=True), a_candidate(5, final=False)),
        )
    )
    log.save(a_plain_answer(3, question="not judged", candidates=(a_candidate(9, final=True),)))
    log.feedback("answer-000001", grades={1: 3, 2: 0})
    log.feedback("answer-000002", grades={1: 2})
    assert log.export("beir", tmp_path / "beir", shape=shaped) == 1
    corpus = [
        json.loads(line) for line in (tmp_path / "beir" / "corpus.jsonl").read_text("utf-8").splitlines()
    ]
    queries = [
        json.loads(line) for line in (tmp_path / "beir" / "queries.jsonl").read_text("utf-8").splitlines()
    ]
    assert queries == [{"_id": "answer-000002", "text": "问题"}]
    assert {one["_id"] for one in corpus} == {"chunk-0", "chunk-1", "chunk-5"}
    assert next(one for one in corpus if one["_id"] == "chunk-5")["text"] == a_candidate(5, final=False).text
    rows = (tmp_path / "beir" / "qrels" / "test.tsv").read_text("utf-8").splitlines()
    assert rows[0] == "query-id\tcorpus-id\tscore"
    assert sorted(rows[1:]) == ["answer-000002\tchunk-0\t3", "answer-000002\tchunk-1\t2"]


def test_an_export_takes_the_answers_that_are_meant(log: AnswerLog, tmp_path: Path) -> None:
    """An export takes the same filters as a list."""
    log.save(a_plain_answer(1))
    log.save(a_plain_answer(2, collection="other"))
    assert log.export("csv", tmp_path / "log.csv", AnswerFilter(collection="other"), shape=shaped) == 1


def test_an_export_that_cannot_be_written_says_so(log: AnswerLog, tmp_path: Path) -> None:
    """An export that cannot be written is an error that names the target."""
    log.save(a_plain_answer(1))
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match=r"log\.csv"):
        log.export("csv", tmp_path / "file" / "log.csv", shape=shaped)
