"""`winnow train --teacher`: scores that are asked once, kept, counted, and learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rerank.training.examples import examples
from rerank.training.records import LabelledPassage, TrainingRecord
from storage.records import Candidate, Outcome, Ranking
from tests.support import lessons, tiny_models
from tests.support.endpoint import Endpoint
from winnow.cli.app import app
from winnow.lab.training.teacher import _read

pytestmark = pytest.mark.heavy

QUICK = ("--learning-rate", "0.005", "--batch", "8", "--epochs", "6")


def train(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)])


def trained(*words: object) -> dict[str, Any]:
    result = train(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout)["training"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return lessons.write(tmp_path / "data.jsonl", range(40))


@pytest.fixture
def teacher(tmp_path: Path, data: Path) -> str:
    """A cross-encoder that has learned what the lessons teach."""
    base = tiny_models.bert(tmp_path / "base")
    trained(data, "--base", base, "-o", tmp_path / "teacher", *QUICK)
    return f'cross-encoder(model="{tmp_path / "teacher"}")'


def unlabelled(path: Path) -> Path:
    """The lessons with their labels turned round: who learns these learns the opposite."""
    lines = []
    for number in range(40):
        record = lessons.record(number)
        passages = [{**passage, "label": 1 - passage["label"]} for passage in record["passages"]]
        lines.append(json.dumps({**record, "passages": passages}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_student_learns_its_teachers_order_and_not_the_labels(tmp_path: Path, teacher: str) -> None:
    """With --teacher the scores are learned: wrong labels do no harm."""
    wrong, right = unlabelled(tmp_path / "wrong.jsonl"), lessons.write(tmp_path / "dev.jsonl", range(40, 60))
    base = tiny_models.bert(tmp_path / "other")
    report = trained(
        wrong, "--base", base, "-o", tmp_path / "s", "--teacher", teacher, "--dev", right, *QUICK
    )
    assert (report["objective"], report["learned_from"], report["teacher"]) == ("listwise", "scores", teacher)
    assert report["fitted"]["best"]["metrics"]["MRR@10"] > 0.95
    assert teacher in (tmp_path / "s" / "README.md").read_text(encoding="utf-8")


def test_a_teacher_is_asked_once(tmp_path: Path, data: Path, teacher: str) -> None:
    """Scores stay in a file: a second training asks for nothing, one of another teacher does."""
    base = tiny_models.bert(tmp_path / "other")
    given = (data, "--base", base, "--max-steps", "1")
    first = train(*given, "-o", tmp_path / "s", "--teacher", teacher)
    assert "35 questions asked, 0 known before" in first.stderr.replace("\n", " ")
    (tmp_path / "s").rename(tmp_path / "moved")
    again = train(*given, "-o", tmp_path / "s", "--teacher", teacher)
    assert "0 questions asked, 35 known before" in again.stderr.replace("\n", " ")
    (tmp_path / "s").rename(tmp_path / "moved-too")
    other = train(*given, "-o", tmp_path / "s", "--teacher", "cross-encoder")
    assert "35 questions asked, 0 known before" in other.stderr.replace("\n", " ")


def test_a_killed_run_keeps_the_scores_that_it_has(tmp_path: Path, data: Path) -> None:
    """An incomplete last line is cut off, and only that question is asked again."""
    base = tiny_models.bert(tmp_path / "other")
    given = (data, "--base", base, "--max-steps", "1", "--teacher", "cross-encoder")
    train(*given, "-o", tmp_path / "s")
    scores = tmp_path / "s.teacher.jsonl"
    scores.write_bytes(scores.read_bytes()[:-5])
    (tmp_path / "s").rename(tmp_path / "moved")
    again = train(*given, "-o", tmp_path / "s")
    assert "1 questions asked, 34 known before" in again.stderr.replace("\n", " ")


def test_labels_are_not_what_a_teacher_gives(tmp_path: Path, data: Path) -> None:
    """An objective that learns labels is refused beside a teacher."""
    result = train(data, "-o", tmp_path / "s", "--teacher", "cross-encoder", "--objective", "bce")
    assert result.exit_code == 2
    assert "bce learns labels, and a teacher gives scores" in result.stderr


def test_a_distribution_has_the_teachers_margins() -> None:
    """Listwise targets are the scores, scaled so that distances from the best are 4 in the quadratic mean."""
    passages = [LabelledPassage(text=f"text {n}", label=0, score=score) for n, score in enumerate((9, 7, 5))]
    made = examples([TrainingRecord(query="q", passages=tuple(passages))], "listwise")
    high, middle, low = made.columns["label"][0]
    assert ((high - middle) ** 2 + (high - low) ** 2) / 2 == pytest.approx(16)
    assert (high - low) / (high - middle) == pytest.approx(2)


def test_what_a_teacher_cannot_read_is_learned_from_labels() -> None:
    """Questions without scores keep their labels, on the same scale as the others' scores."""
    scored = TrainingRecord(
        query="q",
        passages=(LabelledPassage(text="a", label=0, score=3), LabelledPassage(text="b", label=1, score=1)),
    )
    labelled = TrainingRecord(
        query="问", passages=(LabelledPassage(text="甲", label=0), LabelledPassage(text="乙", label=1))
    )
    made = examples([scored, labelled], "listwise")
    assert made.learned_from == "scores and labels"
    taught, given = ([b - a for a, b in [row]] for row in made.columns["label"])
    assert (taught, given) == ([pytest.approx(-4)], [pytest.approx(4)])


def test_watched_sets_are_measured_and_not_learned_from(tmp_path: Path, data: Path) -> None:
    """--watch adds a set's figure to every measurement, and keeps its questions out of the training."""
    watched = lessons.write(tmp_path / "promised.jsonl", range(30, 50))
    base = tiny_models.bert(tmp_path / "base")
    report = trained(data, "--base", base, "-o", tmp_path / "s", "--max-steps", 1, "--watch", watched)
    assert report["left_out"]["records whose question is measured on"] == 10
    for row in report["fitted"]["dev"]:
        assert set(row["metrics"]) == {"nDCG@10", "MRR@10", "nDCG@10 of promised"}
    assert "nDCG@10 of promised" in (tmp_path / "s" / "README.md").read_text(encoding="utf-8")


def ranked(*scores: float | None) -> Ranking:
    """A chain's ranking of passages 0, 1, …, in this order, by a stage that gives these scores."""
    found = [
        Candidate.from_text(f"text {place}", id=str(place)).ranked("fusion", place + 1, score)
        for place, score in enumerate(scores)
    ]
    return Ranking(tuple(found), (Outcome("fusion"), Outcome("diversity")))


def test_scores_of_two_scales_are_no_lesson_and_their_order_is() -> None:
    """Where a stage left some of the scores as they were, they do not fall along its own order."""
    assert _read(ranked(0.9, 0.4, 0.2), "fusion").scores == [0.9, 0.4, 0.2]
    mixed = _read(ranked(0.004, 0.001, 0.7, 0.6), "fusion")
    assert (mixed.ranks, mixed.scores) == ([0, 1, 2, 3], [])
    assert _read(ranked(0.9, None), "fusion").scores == []


def test_options_that_would_do_nothing_are_refused(tmp_path: Path, data: Path) -> None:
    """Limits without a teacher, and two watched sets of one name."""
    result = train(data, "-o", tmp_path / "s", "--max-calls", "3")
    assert result.exit_code == 2
    assert "limit a teacher, and there is none" in result.stderr.replace("\n", " ")
    (tmp_path / "other").mkdir()
    same = lessons.write(tmp_path / "other" / "data.jsonl", range(50, 60))
    twice = train(data, "-o", tmp_path / "s", "--watch", data, "--watch", same)
    assert twice.exit_code == 2
    assert "two watched sets have one name" in twice.stderr


def test_a_run_whose_budget_is_spent_goes_on_with_the_next(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained on half of the lessons, and what was scored is not asked again."""
    with Endpoint() as endpoint:
        endpoint.reply = lambda request: "9" if "fox" in str(request.body["messages"]).lower() else "1"
        monkeypatch.setenv("WINNOW_LLM__BASE_URL", endpoint.url)
        monkeypatch.setenv("WINNOW_LLM__MODEL", "a-judge")
        monkeypatch.setenv("WINNOW_RERANK__CACHE", "false")
        base = tiny_models.bert(tmp_path / "other")
        given = (data, "--base", base, "-o", tmp_path / "s", "--max-steps", "1", "--teacher", "pointwise")
        stopped = train(*given, "--max-calls", "9", "--data-dir", tmp_path / "data")
        assert stopped.exit_code == 2
        assert "the teacher's budget is spent after 2 of 35 questions" in stopped.stderr.replace("\n", " ")
        assert len(endpoint.requests) == 9
        whole = train(*given, "--data-dir", tmp_path / "data")
        assert whole.exit_code == 0, whole.output
        assert "33 questions asked, 2 known before" in whole.stderr.replace("\n", " ")
