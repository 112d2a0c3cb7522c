"""`ask`, `search` and `rerank`: stable JSON, tables for people, warnings on standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval.models.hub import MINILM
from tests.support.shell import QUESTION, as_json, ingested, run

pytestmark = pytest.mark.heavy


def test_ask_json_has_what_programs_need(data: Path) -> None:
    """`ask --json` has every documented key, ranks from 1, and null for a stage that saw nothing."""
    answer = as_json("ask", "What reorders candidates by relevance?", "--data-dir", data)
    keys = "id question text collection citations candidates stages timings_ms usage warnings"
    assert set(keys.split()) <= set(answer)
    first, second = answer["candidates"]
    assert {"chunk_id", "source", "text", "ranks", "scores"} <= set(first)
    judges = ["fusion.late-interaction", "fusion.cross-encoder", "fusion", "diversity"]
    stages = ["dense", "lexical", "retrieval", *judges, "final"]
    assert first["ranks"] == dict.fromkeys(stages, 1)
    assert (second["ranks"]["dense"], second["ranks"]["lexical"]) == (2, None)
    assert {"name", "status", "reason", "calls", "ms"} <= set(answer["stages"][0])
    ran = [stage["name"] for stage in answer["stages"]]
    assert ran == ["retrieval", *judges, "generation"]
    assert answer["citations"][0]["source"].endswith("en.md")


def test_a_stage_that_occurs_twice_is_numbered(data: Path) -> None:
    """Two passes of one strategy are told apart in ranks and stages."""
    answer = as_json(
        "ask", QUESTION, "--data-dir", data, "--rerank", "late-interaction:2,late-interaction:1", "-k", 1
    )
    assert [stage["name"] for stage in answer["stages"]][1:3] == ["late-interaction", "late-interaction#2"]
    assert answer["candidates"][0]["ranks"]["late-interaction#2"] == 1


def test_ask_prints_answer_citation_table_and_the_way_to_the_log(data: Path) -> None:
    """`ask` prints the answer, its citations, the rank changes, and the command that shows more."""
    result = run("ask", QUESTION, "--data-dir", data)
    assert result.exit_code == 0
    assert "A reranker reorders candidates by relevance. [1]" in " ".join(result.stdout.split())
    assert "retrieved 2 → reranked to 2" in result.stdout
    assert "no language model was used" in result.stdout
    answer_id = result.stdout.split("winnow log show ")[1].split()[0]
    shown = run("log", "show", answer_id, "--data-dir", data)
    assert QUESTION in shown.stdout
    assert "all 2 candidates" in shown.stdout


def test_a_degradation_warns_on_standard_error_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A degradation is reported once, on standard error; standard output holds only the result."""
    monkeypatch.setenv("WINNOW_ENCODER__MODEL", MINILM)
    result = run("ask", "重排序做什么？", "--data-dir", ingested(tmp_path))
    assert "按相关性重新排列候选段落。" in result.stdout
    assert "warning" not in result.stdout
    assert " ".join(result.stderr.split()).count("cannot read the question") == 1


def test_a_stray_key_is_mentioned_once_and_used_for_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPENAI_API_KEY in the environment is mentioned once, and the answer stays extractive."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    result = run("ask", QUESTION, "--data-dir", data)
    assert result.stderr.count("OPENAI_API_KEY") == 1
    assert "sk-x" not in result.output
    assert "no language model was used" in result.stdout


def test_a_filter_narrows_what_is_found(data: Path) -> None:
    """`--where` filters both legs, and the error for an invalid filter points at the character."""
    found = as_json("search", QUESTION, "--data-dir", data, "--where", 'title = "Rerankers"')
    assert [candidate["title"] for candidate in found["candidates"]] == ["Rerankers"]
    wrong = run("search", QUESTION, "--data-dir", data, "--where", "page >> 1")
    assert wrong.exit_code == 2
    assert "character 7" in " ".join(wrong.stderr.split())


def test_texts_are_reranked_without_a_store(tmp_path: Path) -> None:
    """`winnow rerank` ranks lines without a store, best first, equal lines kept apart."""
    (tmp_path / "lines.txt").write_text("Bananas are yellow.\nA reranker reorders.\nBananas are yellow.\n")
    ranked = as_json("rerank", QUESTION, tmp_path / "lines.txt", "-k", 3)
    assert [result["index"] for result in ranked["results"]] == [1, 0, 2]
    assert ranked["stages"][0]["status"] == "ok"


def test_a_pipe_that_is_not_utf8_gets_valid_json(data: Path) -> None:
    """Chinese reaches a latin-1 pipe escaped, not as an error."""
    done = subprocess.run(
        [sys.executable, "-m", "winnow", "search", "重排序", "--json", "--data-dir", str(data)],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.decode("latin-1"))["question"] == "重排序"
