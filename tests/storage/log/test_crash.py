"""The log after killed processes and on full disks."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.database import Database
from storage.log.answer_log import AnswerLog
from tests.support.log_samples import a_full_answer, a_plain_answer

pytestmark = pytest.mark.heavy


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )


START = """
import os, signal, sys
from pathlib import Path
from storage.log.answer_log import AnswerLog
from storage.database import Database
from tests.support.log_samples import a_full_answer, a_plain_answer
database = Database.open(Path(sys.argv[1]))
log = AnswerLog(database)
"""


def test_an_answer_that_was_saved_survives_a_kill(tmp_path: Path) -> None:
    """Once `save` has returned, the answer is in the log, whatever happens to the process."""
    script = START + "log.save(a_full_answer())\nos.kill(os.getpid(), signal.SIGKILL)"
    assert run(script, tmp_path / "log.db").returncode == -signal.SIGKILL
    with Database.open(tmp_path / "log.db") as database:
        assert AnswerLog(database).get(a_full_answer().id) == a_full_answer()


def test_a_kill_in_the_middle_of_a_save_leaves_nothing_half_written(tmp_path: Path) -> None:
    """After a kill during a save, the answer is there whole or not at all."""
    script = START + (
        "from storage.log.redaction import Redactor\n"
        "from storage.log.write import insert_answer, passage_rows\n"
        "log.save(a_plain_answer(1))\n"
        "redactor, answer = Redactor(), a_full_answer()\n"
        "with database.writing() as connection:\n"
        "    insert_answer(connection, answer, passage_rows(answer, redactor), redactor, {})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert run(script, tmp_path / "log.db").returncode == -signal.SIGKILL
    with Database.open(tmp_path / "log.db") as database:
        log = AnswerLog(database)
        assert [row.id for row in log.list()] == ["answer-000001"]
        with database.reading() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM passages").scalar() == 2
        log.save(a_full_answer())
        assert log.get(a_full_answer().id) == a_full_answer()


def test_a_disk_that_fills_up_is_named_and_costs_nothing_that_was_written(tmp_path: Path) -> None:
    """Saves fail with a way out until there is space again; the answers before are whole."""
    script = START + (
        "import resource\n"
        "from storage.errors import LogError\n"
        "size = Path(sys.argv[1]).stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 600_000, resource.RLIM_INFINITY))\n"
        "saved = 0\n"
        "try:\n"
        "    for number in range(1000):\n"
        "        log.save(a_plain_answer(number, text='x' * 20_000))\n"
        "        saved += 1\n"
        "except LogError as error:\n"
        "    print(saved, '|', error, '|', error.way_out)\n"
        "assert saved == log.count()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "log.save(a_full_answer())\n"
    )
    done = run(script, tmp_path / "log.db")
    assert done.stderr == ""
    saved, message, way_out = done.stdout.strip().split(" | ")
    assert 0 < int(saved) < 1000
    assert "disk" in message
    assert "space" in way_out
    with Database.open(tmp_path / "log.db") as database:
        log = AnswerLog(database)
        assert log.count() == int(saved) + 1
        assert log.get("answer-000000") == a_plain_answer(0, text="x" * 20_000)
        assert log.get(a_full_answer().id) == a_full_answer()


def test_a_database_that_may_not_grow_says_that_the_disk_is_full(tmp_path: Path) -> None:
    """SQLite's error for a full disk becomes winnow's."""
    script = START + (
        "from storage.errors import LogError\n"
        "from sqlalchemy import event\n"
        "log.save(a_plain_answer(1))\n"
        "database.close()\n"
        "limit = lambda connection, _: connection.execute('PRAGMA max_page_count=1')\n"
        "event.listen(database._engine, 'connect', limit)\n"
        "try:\n"
        "    log.save(a_plain_answer(2, text='x' * 900_000))\n"
        "except LogError as error:\n"
        "    print(error, '|', error.way_out)\n"
        "assert log.get('answer-000001') == a_plain_answer(1)\n"
    )
    done = run(script, tmp_path / "log.db")
    assert done.stderr == ""
    assert "the disk is full" in done.stdout
    assert "free some space" in done.stdout
