"""What the shell prints follows the terminal's width, and is unbroken where there is no terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.support.shell import as_json, run
from winnow.cli.terminal import now_and_then

pytestmark = pytest.mark.heavy

NAME = "a-document-with-a-name-that-is-longer-than-any-line-of-a-narrow-terminal-would-ever-be.md"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a few documents and a logged answer."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "docs").mkdir()
    (folder / "docs" / NAME).write_text(
        "# Why rerankers help\n\nA reranker reorders candidates by relevance.\n", encoding="utf-8"
    )
    for number in range(6):
        (folder / "docs" / f"{number}.md").write_text(f"# Rerankers, part {number}\n\nMore on rerankers.\n")
    assert run("ingest", folder / "docs", "--data-dir", folder / "data").exit_code == 0
    return folder / "data"


def on_terminal(columns: int, *words: object, **environment: str) -> str:
    """Run a command on a terminal of that width and return what it shows, escapes included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "winnow", *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:  # Linux says so when the other end is closed
        pass
    assert process.wait() == 0, shown
    os.close(ours)
    return shown.decode().replace("\r", "")


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


def test_no_path_and_no_command_is_broken_in_a_pipe(data: Path) -> None:
    """What goes to a program or a file is one line a line, whatever its length."""
    done = run("ask", "What does a reranker reorder?", "--data-dir", data)
    assert f"{data.parent / 'docs' / NAME}:" in done.stdout
    missing = run("ask", "?", "--data-dir", data, "-c", "no-collection-of-this-name-" + "x" * 60)
    assert len(missing.stderr.splitlines()) == 2


def test_lines_in_a_pipe_end_where_their_text_does(data: Path) -> None:
    """No line of what a program reads is filled up with spaces, and nothing is said of a short run."""
    identifier = as_json("ask", "What does a reranker do?", "--data-dir", data)["id"]
    for words in (
        ("search", "What does a reranker do?"), ("ask", "What does a reranker do?"),
        ("log", "show", identifier), ("log", "list"), ("log", "stats"),
        ("log", "compare", "--rerank", "none", "--rerank", "late-interaction"), ("ingest", "--last"),
        ("ingest", data.parent / "docs"), ("documents", "list"), ("collections", "list"), ("doctor",),
    ):  # fmt: skip
        done = run(*words, "--data-dir", data)
        assert done.exit_code == 0, (words, done.output)
        assert done.stdout
        assert not [line for line in done.output.splitlines() if line.endswith(" ")], words
        assert done.stderr.strip() == done.stderr.rstrip("\n"), words


def test_long_work_says_in_a_pipe_how_far_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    """A plain line after ten seconds, then after twice as long, at most a minute; nothing of short work."""
    times = iter([0.0, 9.0, 10.0, 29.0, 30.0, 60.0, 70.0, 130.0])
    tell = now_and_then(lambda: next(times))
    for number in range(7):
        tell(f"{number} of 7 documents")
    assert capfd.readouterr().err == "".join(f"{number} of 7 documents\n" for number in (1, 3, 5, 6))


def test_narrow_terminals_keep_what_people_look_for(data: Path) -> None:
    """At 60 and 80 columns questions and titles can be read, and no line is longer than the terminal."""
    question = "What do rerankers reorder?"
    identifier = as_json("ask", question, "--data-dir", data)["id"]
    for columns in (60, 80, 120):
        listed = plain(on_terminal(columns, "log", "list", "--data-dir", data))
        assert question in listed
        shown = plain(on_terminal(columns, "log", "show", identifier, "--data-dir", data))
        chart, ranks = shown.split("all 7 candidates")
        assert "Why rerankers" in chart.partition("passage")[2]
        assert "Why rerankers" in ranks
        assert "fusion.late-interaction" in " ".join(ranks.split())
        assert all(len(line.rstrip()) <= columns for line in (listed + shown).splitlines())


def test_help_has_room_for_what_options_do() -> None:
    """Help is as wide as the terminal, and explains beside the names, not in a narrow column."""
    wide = plain(on_terminal(120, "ask", "--help"))
    assert "A rerank spec, as in `late-interaction` or `cross-encoder:20,listwise:5`." in wide
    narrow = plain(on_terminal(80, "ask", "--help"))
    assert max(map(len, narrow.splitlines())) <= 80
    assert len(narrow.splitlines()) < 45


def test_no_color_means_no_escapes(data: Path) -> None:
    """NO_COLOR leaves neither colour nor bold nor dim."""
    assert "\x1b[" in on_terminal(80, "log", "list", "--data-dir", data)
    assert "\x1b[" not in on_terminal(80, "log", "list", "--data-dir", data, NO_COLOR="1")


def test_a_collection_that_is_not_there_is_not_asked_about(data: Path) -> None:
    """The near name comes before any confirmation."""
    done = run("collections", "delete", "defualt", "--data-dir", data)
    assert done.exit_code == 2
    assert "Did you mean 'default'?" in done.stderr
    assert "Delete" not in done.output


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("winnow rera", "rerank"),
        ("winnow ask -c def", "default"),
        ("winnow ask --rerank late", "late-interaction"),
    ],
)
def test_the_shell_completes(data: Path, typed: str, offered: str) -> None:
    """Commands, collections and strategies are completed."""
    environment = {
        **os.environ,
        "_WINNOW_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
        "WINNOW_DATA_DIR": str(data),
    }
    words = [sys.executable, "-m", "winnow"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert offered in done.stdout.splitlines()


def test_ctrl_c_says_what_was_kept(tmp_path: Path) -> None:
    """An interrupted ingest says how many documents it leaves, and what goes on from there."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(3_000):
        (docs / f"{number}.md").write_text(f"# Part {number}\n\nText number {number} about rerankers.\n")
    words = [sys.executable, "-m", "winnow", "ingest", str(docs), "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while time.monotonic() < until and not (tmp_path / "data" / "winnow.db").exists():
        time.sleep(0.1)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    kept = re.search(r"the collection keeps its ([\d,]+) documents, and the same command goes on", said)
    assert kept, said
    there = as_json("documents", "list", "--status", "ingested", "--data-dir", tmp_path / "data")
    assert len(there) == int(kept[1].replace(",", "")) < 3_000
