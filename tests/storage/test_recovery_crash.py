"""Recovering a database that is hindered or killed: nothing that could be read before is lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from storage.database import Database
from storage.log.answer_log import AnswerLog
from storage.manifest.manifest import DocumentRow, Manifest
from storage.sqlite.damage import damage_of, set_aside
from storage.sqlite.recover import recover
from tests.support.log_samples import a_plain_answer

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(os.name == "nt", reason="processes are killed and limited in Unix's way"),
]

PAGE = 4096
LATE = f"{9_999:016x}"


def _document(number: int) -> DocumentRow:
    return DocumentRow(
        id=f"d{number:04}", source=f"/docs/{number}.md", content_hash=f"h{number}", title="Titel 标题",
        mime="text/markdown", status="ingested", chunk_ids=(f"c{number}-0", f"c{number}-1"),
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database as a process leaves it that was killed: its last rows are in the log beside it."""
    live, path = tmp_path / "live.db", tmp_path / "winnow.db"
    with Database.open(live) as database:
        Manifest(database, "docs").put_many([_document(number) for number in range(500)])
        log = AnswerLog(database)
        for number in range(60):
            log.save(replace(a_plain_answer(), id=f"{number:016x}", question=f"question {number}"))
    with Database.open(live) as database:
        AnswerLog(database).save(replace(a_plain_answer(), id=LATE))
        shutil.copyfile(live, path)
        shutil.copyfile(f"{live}-wal", f"{path}-wal")
    return path


def _harm(path: Path) -> None:
    """Overwrite a page of documents."""
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
        found = connection.execute("SELECT pageno FROM dbstat WHERE name = 'documents' AND pagetype = 'leaf'")
        page = sorted(number for (number,) in found)[2]
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


def _answers(path: Path) -> set[str]:
    with Database.open(path) as database:
        return {row.id for row in AnswerLog(database).list(limit=10_000)}


def _run(script: str, path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    given = [sys.executable, "-c", script, str(path), *map(str, arguments)]
    return subprocess.run(given, capture_output=True, text=True, check=False)


def test_rows_beside_an_emptied_file_are_saved(tmp_path: Path) -> None:
    """SQLite deletes the log of an empty file as it opens it: it is read first, and kept."""
    live, path = tmp_path / "live.db", tmp_path / "winnow.db"
    with Database.open(live) as database:
        AnswerLog(database).save(replace(a_plain_answer(), id=LATE))
        log = Path(f"{live}-wal").read_bytes()
    Path(f"{path}-wal").write_bytes(log)
    path.write_bytes(b"")
    found = recover(path)
    assert LATE in _answers(path)
    assert Path(f"{found.aside}-wal").read_bytes() == log
    assert found.aside.read_bytes() == b""


_KILLED = """
import os, signal, subprocess, sys
from pathlib import Path
from storage.sqlite.recover import recover

path, moment = sys.argv[1], int(sys.argv[2])
other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
seen = 0

def hook(event, arguments):
    global seen
    ours = any(str(one).startswith(path) for one in arguments[:2])
    if ours and event in ("os.link", "os.remove", "os.rename"):
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        if moment == 0:
            said = subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True).stderr
            print(event, said.splitlines()[-1:], flush=True)

sys.addaudithook(hook)
recover(Path(path))
"""


def test_nobody_writes_until_the_new_one_is_in_its_place(path: Path) -> None:
    """A writer waits for the recovery, so that nothing is lost between reading and swap."""
    _harm(path)
    done = _run(_KILLED, path, 0)
    assert done.returncode == 0, done.stderr
    tried = done.stdout.splitlines()
    assert tried
    assert all("database is locked" in line for line in tried), tried
    assert LATE in _answers(path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(1, 6))
def test_a_recovery_that_is_killed_leaves_the_old_or_the_new_one(path: Path, moment: int) -> None:
    """Killed before each step of the swap, the same command completes it, with every row."""
    _harm(path)
    assert _run(_KILLED, path, moment).returncode == -signal.SIGKILL
    assert path.is_file()
    if moment < 5:
        assert damage_of(path)
        recover(path)
    assert damage_of(path) is None
    assert {LATE, f"{0:016x}"} <= _answers(path)
    assert len(set_aside(path)) == 1


_LIMITED = """
import resource, sys
from pathlib import Path
from storage.sqlite.recover import recover

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
recover(Path(sys.argv[1]))
"""


def test_a_disk_that_fills_up_leaves_all_as_it_was(path: Path) -> None:
    """A write that fails half-way is an error, and no reason to begin with an empty database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        indexes = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        )
        for (name,) in indexes.fetchall():
            connection.execute(f"DROP INDEX {name}")
        connection.execute("INSERT INTO answers_fts (answers_fts) VALUES ('delete-all')")
        connection.execute("DROP TABLE judgements")
        connection.execute("VACUUM")
    before = path.read_bytes()
    done = _run(_LIMITED, path, len(before) + PAGE)
    assert "LogError" in done.stderr
    assert path.read_bytes() == before
    assert set_aside(path) == []
    recover(path)
    assert LATE in _answers(path)
