"""`winnow watch` follows real folders: what is saved, renamed, broken and deleted, one line each."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.shell import as_json, run

pytestmark = pytest.mark.heavy


class Watching:
    """A running `winnow watch --json`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self) -> tuple[str, str]:
        """The next change: what became of which file. Errors have their code in place of the file."""
        told: dict[str, Any] = json.loads(self._lines.get(timeout=60))
        if "error" in told:
            return "error", told["error"]["code"]
        return told["status"], Path(told["path"]).name


@contextmanager
def watching(folder: Path, data: Path) -> Iterator[Watching]:
    words = [sys.executable, "-m", "winnow", "watch", str(folder), "--data-dir", str(data), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Watching(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "Traceback" not in said


@pytest.mark.slow
def test_changes_are_followed(tmp_path: Path) -> None:
    """Saved, changed, refused, renamed and deleted files; the shell asks meanwhile."""
    folder = tmp_path / "notes 笔记"
    folder.mkdir()
    # the data folder lies inside, where its own changes must not count
    data = folder / ".winnow"
    (folder / "first.md").write_text("# Ferry\n\nThe ferry leaves at noon.\n", encoding="utf-8")
    with watching(folder, data) as seen:
        assert seen.next() == ("ingested", "first.md")
        (folder / ".obsidian").mkdir()
        (folder / ".obsidian" / "state.json").write_text("{}", encoding="utf-8")
        (folder / "second.md").write_text("# Tea\n\nTea is brewed for three minutes.\n", encoding="utf-8")
        assert seen.next() == ("ingested", "second.md")
        assert "three minutes" in as_json("ask", "How long is tea brewed?", "--data-dir", data)["text"]
        (folder / "second.md").write_text("# Tea\n\nTea is brewed for four minutes.\n", encoding="utf-8")
        assert seen.next() == ("replaced", "second.md")
        (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
        assert seen.next() == ("refused", "broken.pdf")
        (folder / "second.md").replace(folder / "third.md")
        assert {seen.next(), seen.next()} == {("ingested", "third.md"), ("removed", "second.md")}
        (folder / "first.md").unlink()
        assert seen.next() == ("removed", "first.md")
        assert "four minutes" in as_json("ask", "How long is tea brewed?", "--data-dir", data)["text"]


def test_an_error_does_not_end_it(tmp_path: Path) -> None:
    """Where a run fails as a whole, the error is told, and the next change is followed."""
    folder, data = tmp_path / "notes", tmp_path / "data"
    folder.mkdir()
    (folder / "one.md").write_text("One text.", encoding="utf-8")
    with watching(folder, data) as seen:
        assert seen.next() == ("ingested", "one.md")
        fingerprint = data / "collections" / "default" / "fingerprint.json"
        kept = fingerprint.read_bytes()
        fingerprint.write_text("broken", encoding="utf-8")
        (folder / "two.md").write_text("Two texts.", encoding="utf-8")
        assert seen.next()[0] == "error"
        fingerprint.write_bytes(kept)
        (folder / "three.md").write_text("Three texts.", encoding="utf-8")
        assert {seen.next(), seen.next()} == {("ingested", "two.md"), ("ingested", "three.md")}


def test_only_folders_are_watched(tmp_path: Path) -> None:
    """A file, or nothing, is a sentence."""
    done = run("watch", tmp_path / "nowhere", "--data-dir", tmp_path / "data")
    assert done.exit_code == 2
    assert "is no folder" in done.stderr
