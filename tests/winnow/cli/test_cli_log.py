"""The log from the command line: showing, replaying, comparing, regression checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.shell import QUESTION, as_json, ingested, run
from winnow.cli.app import app

pytestmark = pytest.mark.heavy


def test_log_list_and_show_give_the_same_answer(data: Path) -> None:
    """`log show --json` prints the same answer as `ask --json` did."""
    answer = as_json("ask", QUESTION, "--data-dir", data)
    listed = as_json("log", "list", "--data-dir", data)
    assert listed[0]["id"] == answer["id"]
    assert as_json("log", "show", answer["id"][:8], "--data-dir", data) == answer


def test_a_replay_is_linked_and_unchanged_stages_are_not_computed(data: Path) -> None:
    """A replay is linked to its original, and recomputes only the stages that differ."""
    answer = as_json("ask", QUESTION, "--data-dir", data)
    same = as_json("log", "replay", answer["id"], "--data-dir", data)
    assert same["recomputed"] == {}
    assert same["rbo"] == 1
    assert [c["chunk_id"] for c in same["replay"]["candidates"]] == [
        c["chunk_id"] for c in answer["candidates"]
    ]
    for what in ("ranks", "scores"):
        assert [c[what] for c in same["replay"]["candidates"]] == [c[what] for c in answer["candidates"]]
    other = as_json("log", "replay", answer["id"], "--rerank", "none", "--data-dir", data)
    assert list(other["recomputed"]) == ["none"]
    listed = {row["id"]: row for row in as_json("log", "list", "--data-dir", data)}
    assert listed[other["replay"]["id"]]["replay_of"] == answer["id"]


def test_a_replay_needs_no_vector_store(data: Path, tmp_path: Path) -> None:
    """A replay works from the log alone, late interaction included, with the collection gone."""
    (tmp_path / "a.md").write_text(
        "# Rerankers\n\nA reranker reorders candidates.\n\n## Else\n\nBananas are yellow.\n"
    )
    where = ("--data-dir", tmp_path / "d")
    run("ingest", tmp_path / "a.md", *where)
    answer = as_json("ask", QUESTION, "--rerank", "none", *where)
    run("collections", "delete", "default", "--yes", *where)
    replayed = as_json("log", "replay", answer["id"], "--rerank", "late-interaction", *where)
    assert list(replayed["recomputed"]) == ["late-interaction"]
    assert replayed["replay"]["candidates"][0]["ranks"]["late-interaction"] == 1
    assert replayed["replay"]["stages"][1]["status"] == "ok"


def test_judged_answers_are_compared_and_guarded(data: Path) -> None:
    """Feedback is used by `compare` and `regress`, whose floor decides the exit code."""
    answer = as_json("ask", QUESTION, "--data-dir", data)
    kept = as_json("log", "feedback", answer["id"], "--good", "--passage", "1=3", "--data-dir", data)
    assert kept["grades"] == {"1": 3}
    rows = as_json("log", "compare", "-r", "late-interaction", "-r", "none", "--data-dir", data)["results"]
    assert [row["spec"] for row in rows] == ["late-interaction", "none"]
    assert rows[0]["overlap"] == 1
    assert rows[0]["judged"] == 1
    assert rows[0]["ndcg"] == 1
    assert run("log", "regress", "--min-ndcg", 0.9, "--data-dir", data).exit_code == 0
    assert run("log", "feedback", answer["id"], "--passage", "9=3", "--data-dir", data).exit_code == 2


def test_comparing_counts_what_a_logged_stage_took(tmp_path: Path) -> None:
    """A comparison counts the logged time of a stage that is not recomputed."""
    data = ingested(tmp_path)  # the median is over all answers in a log
    answer = as_json("ask", QUESTION, "--data-dir", data)
    took = sum(stage["ms"] for stage in answer["stages"] if stage["name"].startswith(("fusion", "diversity")))
    [row] = as_json("log", "compare", "-r", "balanced", "--last", 1, "--data-dir", data)["results"]
    assert row["ms_p50"] == pytest.approx(took, abs=0.01)


def test_nobody_is_sent_to_a_log_that_is_off(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ask` and `chat` mention `winnow log show` only for answers that were logged."""
    asked = ("ask", QUESTION, "--data-dir", data)
    assert "winnow log show" in run(*asked).stdout
    monkeypatch.setenv("WINNOW_LOG__ENABLED", "false")
    assert "winnow log show" not in run(*asked).stdout
    chatted = CliRunner().invoke(app, ["chat", "--data-dir", str(data)], input=f"{QUESTION}\n")
    assert chatted.exit_code == 0, chatted.output
    assert "reorders candidates" in chatted.stdout
    assert "winnow log show" not in chatted.stdout


def test_joined_neighbours_are_listed_with_the_answer(tmp_path: Path) -> None:
    """`log show` names the passages that `--expand` added; `chat` can ask for them, too."""
    text = "\n\n".join(
        f"## Part {n}\n\n{f'Subject {n} is explained here at length. ' * 25}" for n in range(5)
    )
    (tmp_path / "long.md").write_text(f"# Long\n\n{text}", encoding="utf-8")
    folder = ("--data-dir", str(tmp_path / "data"))
    assert run("ingest", tmp_path / "long.md", *folder).exit_code == 0
    alone = as_json("ask", "Subject 2", "-k", 1, *folder)
    assert "neighbours, joined" not in run("log", "show", alone["id"], *folder).stdout
    words = ["chat", "-k", "1", "--expand", "1", "--min-score", "-1", "--exact", "--json", *folder]
    chatted = CliRunner().invoke(app, words, input="Subject 2\n")
    answer = json.loads(chatted.stdout)
    assert answer["fingerprints"]["min_score"] == "-1.0"
    assert answer["fingerprints"]["exact"] == "True"
    shown = run("log", "show", answer["id"], *folder).stdout
    assert "neighbours, joined for the answerer" in shown
    for neighbour in answer["neighbours"]:
        assert f":{neighbour['start']}-{neighbour['end']}" in "".join(shown.split())


def test_comparing_counts_the_members_of_a_fusion(data: Path) -> None:
    """The time of a fusion includes its members', whether its chain was logged or not."""
    as_json("ask", QUESTION, "--rerank", "none", "--data-dir", data)
    [anew] = as_json("log", "compare", "-r", "fusion", "--last", 1, "--data-dir", data)["results"]
    assert anew["overlap"] == 1
    answer = as_json("ask", QUESTION, "--rerank", "fusion", "--data-dir", data)
    took = sum(stage["ms"] for stage in answer["stages"] if stage["name"].startswith("fusion"))
    [again] = as_json("log", "compare", "-r", "fusion", "--last", 1, "--data-dir", data)["results"]
    assert again["ms_p50"] == pytest.approx(took, abs=0.01)
    assert took > 0


def test_a_page_that_cannot_be_written_is_said_before_the_work(data: Path, tmp_path: Path) -> None:
    """`log compare --html` into a missing folder fails before anything is replayed."""
    nowhere = tmp_path / "no" / "page.html"
    result = run("log", "compare", "-r", "no-such-strategy", "--html", nowhere, "--data-dir", data)
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_an_answerer_without_answers_is_an_error(data: Path) -> None:
    """`evaluate --answerer` without `--answers` is an error."""
    error = as_json("evaluate", "--answerer", "openai", "--data-dir", data)["error"]
    assert "--answers" in error["way_out"]
