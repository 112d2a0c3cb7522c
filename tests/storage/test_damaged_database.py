"""A damaged database: one clear error, and what can be read of it is saved into a new one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select

from storage.database import Database
from storage.errors import LogError
from storage.log.answer_log import AnswerLog
from storage.log.score_cache import SqlScoreCache
from storage.log.tables import ScoreRow
from storage.manifest.manifest import DocumentRow, Manifest
from storage.migrations.upgrade import upgrade
from storage.sqlite.damage import damage_of, set_aside
from storage.sqlite.recover import recover
from tests.support.log_samples import a_full_answer, a_plain_answer

pytestmark = pytest.mark.heavy

PAGE = 4096
ANSWERS, DOCUMENTS = 120, 200


def _id(number: int) -> str:
    return f"{number:016x}"


def _document(number: int) -> DocumentRow:
    return DocumentRow(
        id=f"d{number:04}", source=f"/docs/{number}.md", content_hash=f"h{number}", title="Titel 标题",
        mime="text/markdown", status="ingested", chunk_ids=(f"c{number}-0", f"c{number}-1"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of many answers, a manifest of many documents, and paid scores."""
    path = tmp_path_factory.mktemp("whole") / "winnow.db"
    with Database.open(path) as database:
        log = AnswerLog(database)
        for number in range(ANSWERS):
            sample = a_full_answer() if number % 3 == 0 else a_plain_answer()
            log.save(replace(sample, id=_id(number), question=f"question {number} 问题"))
        Manifest(database, "docs").put_many([_document(number) for number in range(DOCUMENTS)])
        SqlScoreCache(database).put_many("llm", "question", {f"p{number}": 0.5 for number in range(300)})
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    shutil.copyfile(whole, tmp_path / "winnow.db")
    return tmp_path / "winnow.db"


def _content(path: Path) -> tuple[set[str], set[str], int]:
    """The ids of the answers that can be read whole, of the documents, and the number of scores."""
    with Database.open(path) as database:
        log = AnswerLog(database)
        answers = {row.id for row in log.list(limit=10_000)}
        assert [log.get(id_).id for id_ in answers] == list(answers)
        documents = {row.id for row in Manifest(database, "docs").rows()}
        with database.reading() as connection:
            scores = connection.execute(select(func.count()).select_from(ScoreRow)).scalar_one()
        return answers, documents, scores


def _overwrite(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def _pages_of(path: Path, name: str) -> Iterator[int]:
    """Yield the numbers of the pages of a table or index."""
    with closing(sqlite3.connect(path)) as connection:
        yield from (row[0] for row in connection.execute("SELECT pageno FROM dbstat WHERE name = ?", [name]))


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xa5" * path.stat().st_size)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "kept.txt").write_text("someone's")


def _sql(*statements: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return run


LOST: dict[str, Callable[[Path], None]] = {
    "garbage": _garbage,
    "empty": lambda path: path.write_bytes(b"") and None,
    "a folder": _folder,
    "short": lambda path: path.write_bytes(b"SQLite") and None,
}


@pytest.mark.parametrize("harm", LOST.values(), ids=LOST)
def test_a_database_of_which_nothing_is_left_is_one_clear_error(
    path: Path, harm: Callable[[Path], None]
) -> None:
    """It is refused with the way out; recovering begins a new one, and keeps the old under another name."""
    harm(path)
    assert damage_of(path)
    with pytest.raises(LogError) as caught, Database.open(path) as database:
        AnswerLog(database).count()
    assert str(path) in str(caught.value)
    assert "winnow doctor --repair" in caught.value.way_out
    before = path.read_bytes() if path.is_file() else (path / "kept.txt").read_text()
    found = recover(path)
    assert found.incomplete
    assert not any(found.rows.values())
    assert set_aside(path) == [found.aside]
    kept = found.aside
    assert (kept.read_bytes() if kept.is_file() else (kept / "kept.txt").read_text()) == before
    assert damage_of(path) is None
    assert _content(path) == (set(), set(), 0)


def _bad_header(path: Path) -> None:
    _overwrite(path, 0, b"\xa5" * 100)


def _bad_first_page(path: Path) -> None:
    _overwrite(path, 0, b"\xa5" * PAGE)


def _bad_index(path: Path) -> None:
    _overwrite(path, (max(_pages_of(path, "ix_answers_list")) - 1) * PAGE, bytes(PAGE))


WHOLE: dict[str, Callable[[Path], None]] = {
    "header": _bad_header,
    "first page": _bad_first_page,
    "an index": _bad_index,
    "no number of the schema": _sql("DROP TABLE alembic_version"),
    "an empty number of the schema": _sql("DELETE FROM alembic_version"),
    "a table that is gone": _sql("DROP TABLE judgements"),
    "a column that is gone": _sql("ALTER TABLE uploads DROP COLUMN paths"),
}  # fmt: skip


@pytest.mark.parametrize("harm", WHOLE.values(), ids=WHOLE)
def test_what_is_whole_behind_the_damage_is_saved_whole(path: Path, harm: Callable[[Path], None]) -> None:
    """Every answer, document and score is there again, and answers are found by their words."""
    before = _content(path)
    harm(path)
    assert damage_of(path)
    recover(path)
    assert damage_of(path) is None
    assert _content(path) == before
    with Database.open(path) as database:
        assert [row.id for row in AnswerLog(database).search("question 7")][-1] == _id(7)
        assert len(AnswerLog(database).search("问题", limit=1000)) == ANSWERS


@pytest.mark.parametrize(
    ("table", "fill"), [("answers", b"\0"), ("passages", b"\xa5"), ("ranks", b"\0"), ("documents", b"\xa5")]
)
def test_one_bad_page_costs_what_is_on_it(path: Path, table: str, fill: bytes) -> None:
    """The rows before and after a page that cannot be read are saved, and what the rest needs is sound."""
    before = _content(path)
    leaves = list(_pages_of(path, table))
    assert len(leaves) > 2, table
    _overwrite(path, (leaves[len(leaves) // 2] - 1) * PAGE, fill * PAGE)
    assert damage_of(path)
    found = recover(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert table in found.incomplete
    assert damage_of(path) is None
    after = _content(path)
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert after[2] == before[2]
    assert len(after[0]) > ANSWERS / 2
    assert len(after[1]) > DOCUMENTS / 3
    assert (after == before) == (table in ("passages", "ranks"))


def test_a_file_that_was_cut_keeps_the_rows_before_the_cut(path: Path) -> None:
    """A truncated file is read as far as it goes."""
    before = _content(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // PAGE * PAGE)
    assert damage_of(path)
    recover(path)
    assert damage_of(path) is None
    answers, _, _ = _content(path)
    assert answers < before[0]
    assert len(answers) > len(before[0]) / 4


def test_what_was_not_taken_over_yet_is_saved(path: Path) -> None:
    """Rows that are still in the write-ahead log are read, too."""
    with Database.open(path) as database:
        AnswerLog(database).save(replace(a_plain_answer(), id=_id(9_999)))
        with database.driver() as driver:
            driver.execute("PRAGMA wal_autocheckpoint=0")
        copied = path.with_name("copied.db")
        AnswerLog(database).save(replace(a_plain_answer(), id=_id(10_000)))
        shutil.copyfile(path, copied)
        shutil.copyfile(f"{path}-wal", f"{copied}-wal")
    _sql("DROP TABLE judgements")(copied)
    recover(copied)
    assert {_id(9_999), _id(10_000)} <= _content(copied)[0]


def test_an_old_schema_is_recovered_and_brought_up_to_date(tmp_path: Path) -> None:
    """The rows go into a database of their own schema, which is then upgraded as any other."""
    path = tmp_path / "winnow.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection, "0002")
        connection.exec_driver_sql(
            "INSERT INTO answers (number, id, created_at, collection, rerank, answerer, status, answered, ms,"
            " calls, prompt_tokens, completion_tokens, top_k_retrieve, top_k_rerank, question, text,"
            " timings_ms, warnings, fingerprints) VALUES (1, 'old-1', '2026-01-01T00:00:00.000000+00:00',"
            " 'c', 'maxsim', 'extractive', 'ok', 1, 5.0, 0, 0, 0, 50, 5, 'old', 'text', '{}', '[]', '{}')"
        )
    engine.dispose()
    _bad_header(path)
    recover(path)
    with Database.open(path) as database:
        assert [row.id for row in AnswerLog(database).search("old")] == ["old-1"]


def test_a_database_in_use_is_not_recovered(path: Path) -> None:
    """While another process writes, recovering is refused and changes nothing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogError, match="locked by another process"):
            recover(path)
    assert set_aside(path) == []
    assert len(_content(path)[0]) == ANSWERS


def test_what_cannot_be_opened_is_not_damaged(path: Path) -> None:
    """Trouble with rights, disk or folder says nothing of what the file holds: it is not replaced."""
    with Database.open(path):
        pass
    Path(f"{path}-wal").mkdir()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        damage_of(path)
    with pytest.raises(LogError, match="cannot be opened"):
        recover(path)
    Path(f"{path}-wal").rmdir()
    assert damage_of(path) is None
    assert len(_content(path)[0]) == ANSWERS


def test_a_whole_database_and_one_of_a_newer_winnow_are_not_damaged(path: Path, tmp_path: Path) -> None:
    """Nor is one that does not exist."""
    assert damage_of(path) is None
    assert damage_of(tmp_path / "none.db") is None
    _sql("UPDATE alembic_version SET version_num = '9999'", "DROP TABLE judgements")(path)
    assert damage_of(path) is None


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_removed_or_replaced_takes_no_more_rows(path: Path, *, replaced: bool) -> None:
    """Neither a write nor a read goes to a file that is not there any more; putting it back helps."""
    with Database.open(path) as database:
        log = AnswerLog(database)
        other = path.with_name("other.db")
        path.rename(other)
        if replaced:
            Database.open(path).close()
        for act in (lambda: log.save(a_plain_answer()), log.count, lambda: log.backup(path.with_name("b"))):
            with pytest.raises(LogError, match="replaced while in use" if replaced else "removed") as caught:
                act()
            assert "start this program again" in caught.value.way_out
        if replaced:
            return
        other.rename(path)
        log.save(replace(a_plain_answer(), id=_id(5_000)))
        assert log.count() == ANSWERS + 1
