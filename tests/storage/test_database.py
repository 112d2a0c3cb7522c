"""The database: schema, migrations, and every fault of a file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, inspect, text

from storage.database import Database
from storage.errors import LogError, MissingDependencyError
from storage.log.answer_log import AnswerLog
from storage.log.full_text import indexed
from storage.manifest.tables import RunRow
from storage.migrations.upgrade import known_revisions, upgrade
from storage.reasons import Reason
from storage.sqlite.errors import translated
from storage.tables import TableBase
from tests.support.log_samples import a_full_answer, a_plain_answer
from winnow.app.logged import LoggedStage

pytestmark = pytest.mark.heavy

COLUMNS = {
    "answers": "number id created_at collection rerank answerer status answered ms calls prompt_tokens"
    " completion_tokens cost top_k_retrieve top_k_rerank question text timings_ms warnings fingerprints"
    " retries cached feedback judged replay_of warnings_data asker scope",
    "threads": "answer_number name",
    "prompts": "answer_number text",
    "follow_ups": "answer_number question prompt follows",
    "stages": "answer_number position name status reason ms calls prompt_tokens completion_tokens cost"
    " retries cached reason_data",
    "llm_calls": "answer_number stage_position position model messages reply error ms calls prompt_tokens"
    " completion_tokens cost retries cached",
    "passages": "number hash chunk_id document_id source title text start_char end_char ordinal headings page"
    " legible metadata about",
    "candidates": "answer_number position passage_number slot cited",
    "neighbours": "answer_number position passage_number",
    "ranks": "answer_number position step stage rank score evidence_start evidence_end",
    "citations": "answer_number position marker chunk_id document_id source title start_char end_char"
    " headings page quote",
    "feedback": "number answer_number created_at good note",
    "judgements": "answer_number position grade created_at",
    "scores": "number question passage score",
    "documents": "collection id source content_hash title mime status reason warnings duplicate_of parser"
    " reason_data warnings_data",
    "chunks": "collection document_id position chunk_id",
    "runs": "number collection created_at report",
    "deletions": "collection document source",
    "uploads": "id collection created_at paths",
}

VIEWS = {
    "v_answers": "id created_at question answer collection rerank answerer status answered ms calls"
    " prompt_tokens completion_tokens cost feedback judged replay_of candidates citations prompt understood"
    " follows",
    "v_rank_moves": "answer_id created_at question rerank place slot cited step stage rank score stage_before"
    " rank_before rose_by chunk_id source title page passage",
    "v_costs": "day collection rerank stage runs calls prompt_tokens completion_tokens cost"
    " runs_of_unknown_cost fallbacks mean_ms",
}


def columns_of(path: Path) -> dict[str, str]:
    engine = create_engine(f"sqlite:///{path}")
    found = inspect(engine)
    tables = {
        name: " ".join(column["name"] for column in found.get_columns(name))
        for name in [*found.get_table_names(), *found.get_view_names()]
        if not name.startswith("answers_fts")
    }
    engine.dispose()
    return tables


def test_the_schema_has_exactly_these_tables_and_columns(tmp_path: Path) -> None:
    """The schema has exactly these columns, since users write SQL against the log."""
    Database.open(tmp_path / "log.db").close()
    found = columns_of(tmp_path / "log.db")
    assert found.pop("alembic_version") == "version_num"
    assert found == COLUMNS | VIEWS


def test_the_migrations_make_what_the_mappings_say(tmp_path: Path) -> None:
    """A migrated database has the columns, keys and indexes of the mappings."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with Database.open(tmp_path / "log.db") as database, database.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), TableBase.metadata)
    # The search index is not mapped; a link that ALTER TABLE added is reflected without its options.
    expected = [one for one in differences if "answers_fts" in str(one) or "replay_of" in str(one)]
    assert [one for one in differences if one not in expected] == []


@pytest.mark.parametrize("revision", known_revisions()[:-1])
def test_an_answer_survives_the_upgrade_from_every_schema(tmp_path: Path, revision: str) -> None:
    """A log of any earlier schema opens, keeps its answers and takes new ones."""
    path = tmp_path / "log.db"
    earlier_schema(path, revision)
    with Database.open(path) as database:
        log = AnswerLog(database)
        assert [row.id for row in log.search("问题")] == ["old-1"]
        old = log.get("old-1")
        assert (old.question, old.text, old.prompt) == ("旧问题", "旧答案", "old prompt")
        assert [candidate.ranks for candidate in old.candidates] == [{"dense": 3, "final": 1}]
        assert old.candidates[0].scores == {"dense": 0.5}
        assert old.follow_up is None
        for reason, sentence in ((old.stages[0].reason, "as it was logged"), (old.warnings[0], "a warning")):
            assert Reason.of(reason).to_json() == {"code": "text", "values": {"text": sentence}}
        log.save(a_full_answer())
        assert log.get(a_full_answer().id) == a_full_answer()
        with database.reading() as connection:
            counted = connection.exec_driver_sql("SELECT id, understood FROM v_answers ORDER BY id").all()
    assert [tuple(row) for row in counted] == [
        (a_full_answer().id, a_full_answer().understood),
        ("old-1", None),
    ]
    assert columns_of(path) == columns_of_a_new_one(tmp_path)


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("skipped: cross-encoder#2 is sure, margin 0.253 ≥ 0.2", "rerank.skipped"),
        ("skipped: 检索 is sure, margin 1.23e+06 ≥ 5", "rerank.skipped"),
        ("skipped: a user's own stage had no time", "text"),
        ("skipped: maxsim is sure, margin wide ≥ 0.2", "text"),
        ("nothing to rank", "text"),
    ],
)
def test_a_stage_that_was_skipped_has_its_code_after_the_upgrade(
    tmp_path: Path, sentence: str, code: str
) -> None:
    """A replay asks for that code; the sentence stays as it was logged."""
    earlier_schema(tmp_path / "log.db", "0004")
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("UPDATE stages SET name = 'listwise', status = 'ok', reason = ?", [sentence])
    connection.close()
    with Database.open(tmp_path / "log.db") as database:
        answer = AnswerLog(database).get("old-1")
    [stage] = answer.stages
    assert (stage.reason, Reason.of(stage.reason).code) == (sentence, code)
    assert LoggedStage("listwise", answer).scores == (code == "rerank.skipped")


def columns_of_a_new_one(folder: Path) -> dict[str, str]:
    Database.open(folder / "new.db").close()
    return columns_of(folder / "new.db")


def earlier_schema(path: Path, revision: str) -> None:
    """A database of an earlier schema with one answer, written with plain SQL."""
    statements = [
        "INSERT INTO answers (number, id, created_at, collection, rerank, answerer, status, answered, ms,"
        " calls, prompt_tokens, completion_tokens, cost, top_k_retrieve, top_k_rerank, question, text,"
        " timings_ms,"
        " warnings, fingerprints) VALUES (1, 'old-1', '2026-01-01T00:00:00.000000+00:00', 'c', 'maxsim',"
        " 'extractive', 'ok', 1, 5.0, 0, 0, 0, NULL, 50, 5, '旧问题', '旧答案', '{}',"
        " '[\"a warning\"]', '{}')",
        "INSERT INTO prompts VALUES (1, 'old prompt')",
        "INSERT INTO stages (answer_number, position, name, status, reason, ms, calls, prompt_tokens,"
        " completion_tokens, cost)"
        " VALUES (1, 0, 'retrieval', 'partial', 'as it was logged', 5.0, 0, 0, 0, NULL)",
        "INSERT INTO passages VALUES (1, 'h', 'c1', 'd1', 's', 't', 'p', 0, 1, 0, '[]', NULL, 1, '{}')",
        "INSERT INTO candidates VALUES (1, 0, 1, 1, 0)",
        "INSERT INTO ranks (answer_number, position, step, stage, rank, score)"
        " VALUES (1, 0, 0, 'dense', 3, 0.5), (1, 0, 1, 'final', 1, NULL)",
    ]
    if revision > "0001":  # from 0002 on the program fed the search index itself
        words = f"'{indexed('旧问题')}', '{indexed('旧答案')}'"
        statements.append(f"INSERT INTO answers_fts (rowid, question, text) VALUES (1, {words})")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection, revision)
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_processes_that_open_a_fresh_database_at_once_do_not_collide(tmp_path: Path) -> None:
    """Migrations are locked: several processes opening a fresh file each find a complete schema."""
    path = tmp_path / "log.db"
    script = (
        "import sys; from pathlib import Path; from storage.database import Database;"
        "from storage.manifest.manifest import Manifest;"
        "Manifest(Database.open(Path(sys.argv[1])), 'c').save_run(sys.argv[2])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(number)], stderr=subprocess.PIPE, text=True
        )
        for number in range(5)
    ]
    assert [process.communicate()[1] for process in processes] == [""] * 5
    with sqlite3.connect(path) as connection:
        assert {row[0] for row in connection.execute("SELECT report FROM runs")} == set("01234")
    connection.close()


def test_a_database_that_is_up_to_date_opens_without_alembic(tmp_path: Path) -> None:
    """Opening an up-to-date database does not import alembic."""
    path = tmp_path / "log.db"
    Database.open(path).close()
    script = (
        "import sys; from pathlib import Path; from storage.database import Database;"
        "Database.open(Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["a b/日志/log.db", "100%/it's #1?.db"])
def test_a_path_may_hold_spaces_chinese_and_signs(tmp_path: Path, name: str) -> None:
    """A path may hold spaces, Chinese and punctuation, and missing folders are created."""
    with Database.open(tmp_path / name) as database:
        AnswerLog(database).save(a_plain_answer())
    assert (tmp_path / name).is_file()
    with Database.open(tmp_path / name) as database:
        assert AnswerLog(database).get(a_plain_answer().id) == a_plain_answer()


def test_a_url_opens_the_same_file_as_its_path(tmp_path: Path) -> None:
    """An SQLAlchemy URL names a file as well as a path does."""
    with Database.open(f"sqlite:///{tmp_path}/日志 log.db") as database:
        AnswerLog(database).save(a_plain_answer())
    with Database.open(tmp_path / "日志 log.db") as database:
        assert AnswerLog(database).get(a_plain_answer().id) == a_plain_answer()


def test_what_is_not_committed_is_rolled_back(tmp_path: Path) -> None:
    """A writing block left without a commit, or by an error, is rolled back."""
    with Database.open(tmp_path / "log.db") as database:
        row = {"collection": "c", "created_at": "now", "report": "{}"}
        with database.writing() as connection:
            connection.execute(insert(RunRow), row)
        with pytest.raises(KeyError), database.writing() as connection:
            raise KeyError(connection.execute(insert(RunRow), row))
        with database.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM runs")).scalar() == 0


def test_a_newer_schema_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """A newer schema is refused untouched, with the advice to upgrade."""
    path = tmp_path / "log.db"
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(LogError, match="newer winnow") as caught:
        Database.open(path)
    assert "9999" in str(caught.value)
    assert known_revisions()[-1] in str(caught.value)
    assert "upgrade winnow" in caught.value.way_out


def test_a_locked_database_is_named_as_such(tmp_path: Path) -> None:
    """A database locked by another process for too long gives an error that says so."""
    path = tmp_path / "log.db"
    with Database.open(path, patience_s=0.05) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LogError, match="locked by another process") as caught:
            AnswerLog(database).save(a_plain_answer())
        assert str(path) in str(caught.value)
        assert "the other process" in caught.value.way_out
        other.execute("ROLLBACK")
        other.close()
        AnswerLog(database).save(a_plain_answer())


def test_a_fresh_file_that_is_locked_is_named_as_such(tmp_path: Path) -> None:
    """A migration waits for a lock no longer than its timeout."""
    other = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    other.execute("PRAGMA user_version=0")  # a file that has a header
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LogError, match="locked by another process"):
        Database.open(tmp_path / "log.db", patience_s=0.05)
    other.close()


def test_a_read_only_database_can_be_read_and_says_why_it_cannot_be_written(tmp_path: Path) -> None:
    """A read-only database can be read, and a write says why it fails."""
    path = tmp_path / "log.db"
    with Database.open(path) as database:
        AnswerLog(database).save(a_plain_answer())
    with Database.open(f"sqlite:///file:{path}?mode=ro&uri=true") as database:
        log = AnswerLog(database)
        assert log.get(a_plain_answer().id) == a_plain_answer()
        with pytest.raises(LogError, match="read-only") as caught:
            log.save(a_plain_answer(1))
    assert "writable" in caught.value.way_out


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file that is not a database is refused and left as it is."""
    path = tmp_path / "log.db"
    path.write_text("这不是数据库 " * 1000, encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(LogError, match="not an SQLite database") as caught:
        Database.open(path)
    assert caught.value.way_out
    assert path.read_bytes() == before


def test_a_damaged_database_is_named_as_such(tmp_path: Path) -> None:
    """A file whose pages are overwritten gives an error with a way out, not wrong answers."""
    path = tmp_path / "log.db"
    with Database.open(path) as database:
        AnswerLog(database).save(a_full_answer())
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(LogError, match="damaged") as caught, Database.open(path) as database:
        AnswerLog(database).get(a_full_answer().id)
    assert "backup" in caught.value.way_out


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way of the data folder is an error that names the folder."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(LogError, match="data/logs"):
        Database.open(tmp_path / "data" / "logs" / "log.db")


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "nonsense", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_a_url_that_keeps_nothing_is_refused(url: str) -> None:
    """A log in memory, or no URL at all, is refused with an example of a good one."""
    with pytest.raises(LogError) as caught:
        Database.open(url)
    assert "sqlite:///path" in caught.value.way_out


def _every(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(below for child in root.__subclasses__() for below in _every(child))]


@pytest.mark.parametrize("kind", [OverflowError, *_every(sqlite3.Error)])
def test_no_error_of_the_driver_passes(kind: type[Exception]) -> None:
    """Every error of SQLite's driver becomes a LogError with the database and a way out."""
    with pytest.raises(LogError, match=r"some\.db") as caught, translated("some.db"):
        raise kind("why")
    assert caught.value.way_out
    assert "why" in str(caught.value)


def test_an_error_of_the_application_passes_as_it_is() -> None:
    """Errors of the application pass through untranslated."""
    with pytest.raises(KeyError), translated("some.db"):
        raise KeyError


def test_datasette_finds_the_search_index(tmp_path: Path) -> None:
    """Datasette recognises the search index, since its table name is in double quotes."""
    with Database.open(tmp_path / "log.db") as database, database.reading() as connection:
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'answers_fts'").scalar()
    assert 'content="answers"' in str(made)


def test_a_driver_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """Another kind of database needs its driver, and the error says so."""
    with pytest.raises(MissingDependencyError, match="driver") as caught:
        Database.open("firebird://localhost/log")
    assert "install" in caught.value.way_out


def test_a_password_in_a_url_is_not_shown() -> None:
    """A password in a URL is masked in errors."""
    with pytest.raises((LogError, MissingDependencyError)) as caught:
        Database.open("firebird://user:geheim@localhost/log")
    assert "geheim" not in str(caught.value)


def test_threads_that_write_wait_for_each_other(tmp_path: Path) -> None:
    """Threads of one process wait for each other's writes, however short the lock timeout."""
    with Database.open(tmp_path / "log.db", patience_s=0) as database, ThreadPoolExecutor(16) as pool:
        log = AnswerLog(database)
        answers = [replace(a_plain_answer(), id=f"{number:016x}") for number in range(64)]
        assert list(pool.map(log.save, answers)) == [None] * 64
        assert log.count() == 64
