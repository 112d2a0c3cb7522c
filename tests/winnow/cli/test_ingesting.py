"""`ingest`: its report, its exit codes, dry runs, two at once, and what a stop leaves."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shell import as_json, run

pytestmark = pytest.mark.heavy


def test_a_refused_document_gives_exit_code_3_and_its_reason(tmp_path: Path) -> None:
    """A good document is ingested; a refused one is listed with its reason, and the exit code is 3."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "good.txt").write_text("A sentence.")
    (tmp_path / "docs" / "bad.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    result = run("ingest", tmp_path / "docs", "--data-dir", tmp_path / "d", "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 3
    by_name = {Path(document["path"]).name: document for document in report["documents"]}
    assert by_name["good.txt"]["status"] == "ingested"
    assert by_name["bad.pdf"]["status"] == "refused"
    assert by_name["bad.pdf"]["reason"]


@pytest.mark.slow
def test_kill_between_ingest_and_ask_loses_nothing(tmp_path: Path) -> None:
    """A process killed right after its ingest returned leaves a collection that answers."""
    (tmp_path / "a.md").write_text("# Notes\n\nLate interaction keeps one vector for every token.\n")
    script = (
        "import os, sys; from winnow import RAGPipeline, Settings\n"
        "p = RAGPipeline.from_settings(Settings.load(data_dir=sys.argv[1]))\n"
        "p.ingest(sys.argv[2]); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "d"), str(tmp_path / "a.md")], check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    answer = as_json("ask", "What does late interaction keep?", "--data-dir", tmp_path / "d")
    assert "one vector for every token" in answer["text"]


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_without_a_traceback(tmp_path: Path) -> None:
    """Ctrl-C during an ingest exits with 130 and no traceback; running again finishes the work."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(300):
        (docs / f"{n}.txt").write_text(f"Document {n}. " + f"Some sentence number {n} about ranking. " * 20)
    process = subprocess.Popen(
        [sys.executable, "-m", "winnow", "ingest", str(docs), "--data-dir", str(tmp_path / "d")],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    database = tmp_path / "d" / "winnow.db"
    while not database.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "interrupted" in errors
    finished = as_json("ingest", docs, "--data-dir", tmp_path / "d")
    assert finished["totals"]["ingested"] + finished["totals"]["unchanged"] == 300


def test_the_last_report_can_be_seen_again(tmp_path: Path) -> None:
    """`ingest --last` prints the report of the last run again."""
    (tmp_path / "a.md").write_text("# A\n\nA sentence.\n")
    report = as_json("ingest", tmp_path / "a.md", "--data-dir", tmp_path / "d")
    assert as_json("ingest", "--last", "--data-dir", tmp_path / "d") == report
    assert "1 ingested" in run("ingest", "--last", "--data-dir", tmp_path / "d").stdout


def test_two_first_ingests_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two processes that create the same collection at once lose neither document.

    On a busy machine the second may give up waiting for the lock; it says so, and is started again.
    """
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(f"# {name}\n\nA sentence about reranking in {name}.\n")
    words = [sys.executable, "-m", "winnow", "ingest", "--data-dir", str(tmp_path / "d")]
    both = [
        subprocess.Popen(
            [*words, str(tmp_path / name)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for name in ("a.md", "b.md")
    ]
    for name, process in zip(("a.md", "b.md"), both, strict=True):
        _, said = process.communicate(timeout=60)
        if process.returncode:
            assert "is in use by process" in " ".join(said.split())
            run("ingest", tmp_path / name, "--data-dir", tmp_path / "d")
    assert as_json("collections", "show", "default", "--data-dir", tmp_path / "d")["passages"] == 2


def test_a_collection_whose_files_are_gone_is_ingested_anew(tmp_path: Path) -> None:
    """A collection whose files are gone is ingested in full, whatever its manifest says."""
    (tmp_path / "a.md").write_text("# A\n\nA sentence about reranking.\n")
    words = ("ingest", tmp_path / "a.md", "--data-dir", tmp_path / "d")
    run(*words)
    shutil.rmtree(tmp_path / "d" / "collections" / "default")
    assert as_json(*words)["totals"]["embedded"] == 1


def test_a_dry_run_and_a_mistyped_path_leave_no_collection(tmp_path: Path) -> None:
    """A command that writes no passages creates no collection."""
    (tmp_path / "a.md").write_text("# A\n\nA sentence about reranking.\n")
    dry = run("ingest", tmp_path / "a.md", "--dry-run", "--data-dir", tmp_path / "d")
    assert "nothing was written" in dry.stdout
    assert run("ingest", tmp_path / "typo.md", "--data-dir", tmp_path / "d").exit_code == 2
    assert as_json("collections", "list", "--data-dir", tmp_path / "d") == []


def test_a_run_over_tables_of_texts_says_once_how_to_read_them_by_line(tmp_path: Path) -> None:
    """Each of the documents has the hint; the terminal shows it below the totals."""
    line = json.dumps({"id": 1, "text": "A passage about pumps, and what their seals are made of. " * 2})
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(f"{line}\n{line} \n" + name[0].join("{}"), encoding="utf-8")
    result = run("ingest", tmp_path, "--dry-run", "--data-dir", tmp_path / "data")
    assert " ".join(result.output.split()).count("--text-column text") == 1
