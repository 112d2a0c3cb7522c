"""The shell at the edge: bytes that are no text, an output nobody takes, a folder that cannot be used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shell import ingested

pytestmark = pytest.mark.heavy

PASSWORD = "Hunter-Two-22"


def _ended(data: Path, *words: str | bytes, **env: str) -> tuple[int, str, str]:
    """Run a command in a process of its own; return its exit code, output and errors."""
    ended = subprocess.run(
        [sys.executable, "-m", "winnow", *words, "--data-dir", str(data)],
        capture_output=True,
        env={**os.environ, **env},
        check=False,
    )
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


@pytest.mark.parametrize(
    "words",
    [
        ("ask", b"what \xff\xfe is it"),
        ("search", b"what \xff\xfe is it"),
        ("search", "what", "--where", b'title = "\xff"'),
        ("ask", "what", "--rerank", b"none(x=\xff)"),
        ("search", "what", "-c", b"\xff"),
        ("log", "list", "--text", b"\xff"),
        ("documents", "show", b"\xff"),
    ],
    ids=lambda words: str(words[0]),
)
def test_bytes_that_are_no_text_are_refused_by_name(data: Path, words: tuple[str | bytes, ...]) -> None:
    """No traceback, and a message that a terminal can show."""
    code, _, said = _ended(data, *words)
    assert code in (0, 2), said
    assert "Traceback" not in said
    assert code == 0 or said.startswith("error: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [("ask", "What does a reranker do?"), ("doctor", "--json"), ("--version",)])
def test_an_output_that_takes_nothing_is_one_clear_line(data: Path, words: tuple[str, ...]) -> None:
    """A full disk behind standard output ends a command with one error and the exit code 1."""
    place = () if words == ("--version",) else ("--data-dir", str(data))
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "winnow", *words, *place], stdout=full, stderr=subprocess.PIPE, check=False
        )
    said = ended.stderr.decode()
    assert ended.returncode == 1, said
    assert "No space left on device" in said
    assert "Traceback" not in said


@pytest.mark.skipif(os.name != "posix", reason="a folder in use cannot be removed there")
def test_a_working_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    """The complaint is about the folder in which the command runs, not about its output."""
    gone = tmp_path / "gone"
    gone.mkdir()
    words = [sys.executable, "-P", "-m", "winnow", "doctor", "--data-dir", ".winnow"]
    ended = subprocess.run(
        ["sh", "-c", 'rmdir "$0"; exec "$@"', str(gone), *words],
        cwd=gone, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stdout
    assert "the folder in which this command runs is gone" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_password_in_an_address_is_shown_nowhere(data: Path, tmp_path: Path) -> None:
    """An endpoint that cannot be reached is named without who asks: on the shell, as JSON, by doctor."""
    own = {
        "WINNOW_LLM__BASE_URL": f"http://me:{PASSWORD}@127.0.0.1:9/v1",
        "WINNOW_LLM__API_KEY": "none",
        "WINNOW_LLM__MAX_RETRIES": "0",
        "WINNOW_ANSWER__ANSWERER": "openai",
    }
    for words in (("ask", "What?"), ("ask", "What?", "--json"), ("doctor", "--json"), ("models", "list")):
        _, shown, said = _ended(data, *words, **own)
        assert PASSWORD not in shown + said
    _, shown, _ = _ended(data, "ask", "What?", "--answerer", "extractive", "--json", **own)
    assert "***@127.0.0.1" in shown
    assert PASSWORD not in shown
    kept = b"".join(path.read_bytes() for path in data.glob("winnow.db*"))
    assert PASSWORD.encode() not in kept


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounts need root")
@pytest.mark.parametrize("words", [("ask", "What?"), ("search", "What?"), ("log", "list"), ("doctor",)])
def test_a_read_only_folder_is_one_clear_line(data: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Every command on a data folder that cannot be written to says so, without a traceback."""
    if subprocess.run(["mount", "--bind", "-o", "ro", str(data), str(data)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        code, shown, said = _ended(data, *words)
    finally:
        subprocess.run(["umount", str(data)], check=True)
    assert "Traceback" not in said
    assert code in (0, 1), said
    assert words[0] == "log" or "read-only" in (shown + said).lower().replace("\n", " ")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounts need root")
def test_a_full_disk_is_one_clear_line_and_nothing_is_lost(tmp_path: Path) -> None:
    """No engine is opened on a full disk, where it would end the process; with room all is there again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=420m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        ingested(disk)
        filler = disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - (1 << 20)))
        for words in (("ask", "What?"), ("doctor",), ("ingest", str(disk / "docs 文档"))):
            code, shown, said = _ended(disk / "data", *words)
            assert code == 1, said
            assert "disk is nearly full" in " ".join((shown + said).split())
        filler.unlink()
        assert _ended(disk / "data", "search", "reranker")[0] == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_cannot_be_loaded_ahead_is_told_once(data: Path) -> None:
    """A database without its driver is one error: loading it beside the collection prints no traceback."""
    code, _, errors = _ended(data, "ask", "What is it?", WINNOW_LOG__URL="nosuchdatabase://somewhere/log")
    assert code in (0, 1)
    assert "Traceback" not in errors
    assert errors.count("no driver for the database") == 1
