"""Keeping the log small, private and safe: prune, redact, vacuum, backup."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.errors import BadInputError, LogError, SettingsError
from storage.log.answer_log import AnswerLog
from storage.log.records import AnswerFilter, Pruned
from storage.log.redaction import MARK
from storage.reasons import LANGUAGES, Reason
from storage.records import Candidate, Chunk, Outcome
from tests.support.log_samples import (
    DATABASES,
    EXCHANGES,
    NOON,
    a_candidate,
    a_chunk,
    a_database,
    a_full_answer,
    a_plain_answer,
)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with a_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def log(database: Database) -> AnswerLog:
    return AnswerLog(database)


def counts(database: Database) -> dict[str, int]:
    tables = (
        *("answers", "prompts", "stages", "llm_calls", "candidates", "ranks", "passages", "citations"),
        *("feedback", "judgements"),
    )
    with database.reading() as connection:
        return {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables
        }


def test_pruning_forgets_old_answers_and_all_that_hangs_on_them(database: Database, log: AnswerLog) -> None:
    """Pruning removes an old answer and all its data, except passages that newer answers share."""
    log.save(a_full_answer())
    log.save(a_plain_answer(2, minutes=5))
    assert log.prune(NOON + timedelta(minutes=1)) == Pruned(answers=1, passages=48, kept=0)
    assert log.search("重排序") == []
    assert log.get("answer-000002") == a_plain_answer(2, minutes=5)
    assert log.prune(NOON + timedelta(days=1)) == Pruned(answers=1, passages=2)
    assert set(counts(database).values()) == {0}


def test_neighbours_are_kept_and_go_with_their_answer(database: Database, log: AnswerLog) -> None:
    """Neighbours are stored with their answer, redacted like any passage, and pruned with it."""
    neighbour = a_chunk(77, text=f"beside {SECRET}")
    answer = a_plain_answer(1, neighbours=(neighbour, a_chunk(78)))
    log.save(answer)
    assert log.get(answer.id) == answer
    log.save(a_plain_answer(2, minutes=5, neighbours=(a_chunk(78),)))
    log.redact([SECRET])
    assert log.get(answer.id).neighbours[0].text == f"beside {MARK}"
    assert log.prune(NOON + timedelta(minutes=1)) == Pruned(answers=1, passages=1, kept=0)
    assert log.get("answer-000002").neighbours == (a_chunk(78),)


def test_pruning_spares_answers_with_feedback_unless_told(database: Database, log: AnswerLog) -> None:
    """Pruning keeps answers with feedback, which form a test collection, unless `judged` is set."""
    for number in range(3):
        log.save(a_plain_answer(number))
    log.feedback("answer-000000", good=False, note="no")
    log.feedback("answer-000001", grades={1: 2})
    assert log.prune(NOON + timedelta(days=1)) == Pruned(answers=1, passages=0, kept=2)
    assert log.prune(NOON + timedelta(days=1), judged=True) == Pruned(answers=2, passages=2)
    assert set(counts(database).values()) == {0}


def test_pruning_takes_newer_replays_with_their_answer(log: AnswerLog) -> None:
    """A replay, and one of that, go with the answer they are of; what was asked meanwhile stays."""
    log.save(a_plain_answer(0))
    log.save(a_plain_answer(1, minutes=5), replay_of="answer-000000")
    log.save(a_plain_answer(2, minutes=6), replay_of="answer-000001")
    log.save(a_plain_answer(3, minutes=7))
    assert log.prune(NOON + timedelta(minutes=1)).answers == 3
    assert [answer.id for answer in log.list(10)] == ["answer-000003"]


def test_pruning_spares_an_answer_whose_replay_has_feedback(log: AnswerLog) -> None:
    """Both stay, and stay linked; a replay of theirs without feedback that is old itself goes."""
    log.save(a_plain_answer(0))
    log.save(a_plain_answer(1), replay_of="answer-000000")
    log.save(a_plain_answer(2, minutes=5), replay_of="answer-000000")
    log.feedback("answer-000002", good=True)
    assert log.prune(NOON + timedelta(minutes=1)) == Pruned(answers=1, passages=0, kept=1)
    assert log.summary("answer-000002").replay_of == "answer-000000"
    assert log.prune(NOON + timedelta(minutes=1), judged=True).answers == 2


def test_more_answers_than_one_transaction_takes_are_pruned(log: AnswerLog) -> None:
    """A log larger than one transaction is pruned completely, in parts."""
    for number in range(205):
        log.save(a_plain_answer(number, candidates=()))
    assert log.prune(NOON + timedelta(days=1)).answers == 205
    assert log.count() == 0


SECRET = "13800138000"


def test_what_matches_is_never_written(database: Database, tmp_path: Path) -> None:
    """Text matching a redaction pattern never reaches the database."""
    log = AnswerLog(database, redact=[r"1[3-9]\d{9}"])
    chunk = Chunk(id="c", document_id="d", source="s", title="", text=f"call {SECRET}!", start=0, end=9,
                  metadata={"phone": SECRET, "pages": 3})  # fmt: skip
    log.save(
        a_plain_answer(1, question=f"谁的电话是{SECRET}？", prompt=SECRET, warnings=(f'"{SECRET}"',),
                       candidates=(Candidate(chunk),)),
    )  # fmt: skip
    log.feedback("answer-000001", note=SECRET)
    logged = log.get("answer-000001")
    assert logged.question == "谁的电话是[redacted]？"
    assert (logged.prompt, logged.warnings) == ("[redacted]", ('"[redacted]"',))
    assert logged.candidates[0].text == "call [redacted]!"
    assert dict(logged.candidates[0].chunk.metadata) == {"phone": "[redacted]", "pages": 3}
    assert log.feedback_of("answer-000001").notes == ("[redacted]",)
    assert [row.id for row in log.search("谁的电话")] == ["answer-000001"]
    if database.path:
        database.close()
        assert SECRET.encode() not in database.path.read_bytes()


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        (r"1[3-9]\d{9}", "storage.of-stage"),  # lies within values, and those within another reason
        (rf"call {SECRET}", "storage.of-stage"),
        (rf"listwise: .*{SECRET}", "text"),  # spans words of the catalogue: the sentence alone stays
        (rf"generation：.*{SECRET}", "text"),
    ],
)
def test_what_matches_is_in_no_value_of_a_reason(
    database: Database, pattern: str, code: str, *, later: bool
) -> None:
    """The code and values of reasons and warnings are redacted with their sentences."""
    inner = Reason("storage.of-stage", stage="generation", reason=f"call {SECRET}!")
    reason = Reason("storage.of-stage", stage="listwise", reason=Reason.all([inner, f"call {SECRET}!"]))
    answer = a_plain_answer(1, stages=(Outcome("listwise", "partial", reason),), warnings=(reason, inner))
    log = AnswerLog(database, redact=[] if later else [pattern])
    log.save(answer)
    if later:
        assert log.redact([pattern]) == 2
    logged = log.get(answer.id)
    kept = [Reason.of(logged.stages[0].reason), Reason.of(logged.warnings[0])]
    assert [one.code for one in kept] == [code, code]
    for one in kept:
        assert not any(re.search(pattern, one.render(language)) for language in LANGUAGES)
    with database.reading() as connection:
        [data] = connection.execute(text("SELECT reason_data FROM stages")).scalars()
        [all_data] = connection.execute(text("SELECT warnings_data FROM answers")).scalars()
    assert not re.search(pattern, f"{data}{all_data}")


def test_a_number_among_the_values_of_a_reason_is_redacted(database: Database) -> None:
    """A reason with a redacted number keeps only its sentence."""
    reason = Reason("storage.of-stage", stage="listwise", reason=int(SECRET))
    log = AnswerLog(database, redact=[SECRET])
    log.save(a_plain_answer(1, warnings=(reason,)))
    assert [one.to_json() for one in map(Reason.of, log.get("answer-000001").warnings)] == [
        {"code": "text", "values": {"text": "listwise: [redacted]"}}
    ]


def test_what_was_written_is_redacted_later(database: Database, log: AnswerLog, tmp_path: Path) -> None:
    """Redacting later reaches every table and the search index; after a vacuum the file holds no trace."""
    log.save(a_full_answer())
    log.save(a_plain_answer(1, question=f"问 {SECRET}", text=f"答 {SECRET} zebra"))
    log.save(a_plain_answer(2, minutes=1))
    assert [row.id for row in log.search(SECRET)] == ["answer-000001"]
    assert log.redact([SECRET, "精排把五十个候选缩到五个", "429: too many"]) == 55
    assert log.search(SECRET) == []
    assert [row.id for row in log.search("zebra")] == ["answer-000001"]
    full = log.get(a_full_answer().id)
    assert full.text == "[redacted] [1]。"
    assert full.citations[0].quote == "[redacted]。"
    assert full.stages[1].exchanges[1].error == "[redacted] requests"
    assert full.stages[1].exchanges[0] == EXCHANGES[0]
    assert all("精排" not in candidate.text for candidate in full.candidates)
    assert log.get("answer-000002").question == "question 2"
    assert log.redact([SECRET]) == 0
    if database.path:
        log.vacuum()
        database.close()
        assert SECRET.encode() not in database.path.read_bytes()


def test_passages_that_become_equal_become_one(database: Database, log: AnswerLog) -> None:
    """Passages that become equal through redaction are merged."""
    one, two = (
        Candidate(Chunk(id="c", document_id="d", source="s", title="", text=f"call {name}", start=0, end=9))
        for name in ("Alice", "Bob")
    )
    log.save(a_plain_answer(1, candidates=(one, two)))
    log.redact(["Alice|Bob"])
    assert [candidate.text for candidate in log.get("answer-000001").candidates] == ["call [redacted]"] * 2
    assert counts(database)["passages"] == 1
    log.save(a_plain_answer(2, candidates=(Candidate(log.get("answer-000001").candidates[0].chunk),)))
    assert counts(database)["passages"] == 1


@pytest.mark.parametrize("pattern", ["(", "a*"])
def test_a_pattern_that_is_no_pattern_is_refused(log: AnswerLog, pattern: str) -> None:
    """A broken pattern, or one that matches the empty string, is refused."""
    log.save(a_plain_answer(1))
    with pytest.raises(SettingsError) as caught:
        log.redact([pattern])
    assert repr(pattern) in str(caught.value)
    assert log.get("answer-000001") == a_plain_answer(1)


def test_vacuum_gives_space_back(tmp_path: Path) -> None:
    """After a prune a vacuum shrinks the file, and the log keeps working."""
    with a_database("sqlite", tmp_path) as database:
        log = AnswerLog(database)
        for number in range(20):
            chunk = Chunk(
                id=f"{number}", document_id="d", source="s", title="", text="x" * 50_000, start=0, end=1
            )
            log.save(a_plain_answer(number, candidates=(Candidate(chunk),)))
        log.prune(NOON + timedelta(days=1))
        assert log.vacuum() > 500_000
        log.save(a_plain_answer(1))
        assert [row.id for row in log.search("question")] == ["answer-000001"]


def test_a_backup_is_a_whole_log(tmp_path: Path) -> None:
    """A backup taken from a log in use opens as a complete log."""
    with a_database("sqlite", tmp_path) as database:
        log = AnswerLog(database)
        log.save(a_full_answer())
        with database.reading() as connection:
            connection.execute(text("SELECT 1"))
            log.backup(tmp_path / "备份" / "log copy.db")
        log.save(a_plain_answer(1))
    with Database.open(tmp_path / "备份" / "log copy.db") as copy:
        assert AnswerLog(copy).get(a_full_answer().id) == a_full_answer()
        assert AnswerLog(copy).count() == 1
        assert len(AnswerLog(copy).search("重排序")) == 1


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    """A backup never overwrites an existing file."""
    (tmp_path / "precious").write_text("precious")
    with a_database("sqlite", tmp_path) as database:
        with pytest.raises(BadInputError, match="exists already"):
            AnswerLog(database).backup(tmp_path / "precious")
        (tmp_path / "folder").mkdir()
        with pytest.raises((LogError, BadInputError)):
            AnswerLog(database).backup(tmp_path / "precious" / "below a file.db")
    assert (tmp_path / "precious").read_text() == "precious"


def test_views_answer_people_with_sql(database: Database, log: AnswerLog) -> None:
    """SQL views give answers with feedback, rank changes per stage, and cost per day."""
    rising = a_candidate(0, final=False).ranked("listwise", 9).ranked("final", 2)
    log.save(a_full_answer())
    log.save(a_plain_answer(1, candidates=(rising,)), replay_of=a_full_answer().id)
    log.feedback("answer-000001", good=True)
    with database.reading() as connection:
        moves = connection.execute(
            text("SELECT stage, rank_before, rank, rose_by FROM v_rank_moves"
                 " WHERE answer_id = 'answer-000001'"
                 " ORDER BY step")
        ).all()  # fmt: skip
        assert moves[:2] == [("dense", None, 1, None), ("lexical", None, 50, None)]
        assert moves[2:] == [
            ("retrieval", None, 1, None),
            ("listwise", 1, 9, -8),
            ("listwise#2", 9, 1, 8),
            ("final", 1, 2, -1),
        ]
        row = connection.execute(
            text(
                "SELECT answer, feedback, replay_of, candidates, citations, prompt FROM v_answers ORDER BY id"
            )
        ).all()
        assert row == [
            (a_full_answer().text, None, None, 50, 2, a_full_answer().prompt),
            ("answer 1", "good", a_full_answer().id, 1, 0, None),
        ]
        costs = connection.execute(
            text("SELECT day, stage, runs, calls, cost, runs_of_unknown_cost FROM v_costs"
                 " WHERE rerank LIKE 'listwise%' ORDER BY stage")
        ).all()  # fmt: skip
        assert costs == [
            ("2026-03-14", "listwise", 1, 2, 0.0125, 0),
            ("2026-03-14", "listwise#2", 1, 1, None, 1),
            ("2026-03-14", "retrieval", 1, 0, None, 0),
        ]


def test_the_search_index_stays_in_step_with_the_answers(tmp_path: Path) -> None:
    """After saves, redactions and prunes the search index is intact and matches the answers."""
    with a_database("sqlite", tmp_path) as database:
        log = AnswerLog(database)
        for number in range(30):
            log.save(a_plain_answer(number, minutes=number, question=f"重排序 number{number} 日志"))
        log.redact(["number1"])
        log.prune(NOON + timedelta(minutes=10))
        assert len(log.search("日志")) == 20
        assert log.list(50, AnswerFilter(text="number1")) == []
        assert len(log.search("redacted")) == 10
        with database.reading() as connection:
            words = connection.exec_driver_sql(
                "SELECT count(*) FROM answers_fts WHERE answers_fts MATCH 'number5'"
            )
            assert words.scalar() == 0
        database.close()
        with sqlite3.connect(tmp_path / "log.db") as connection:
            connection.execute("INSERT INTO answers_fts (answers_fts) VALUES ('integrity-check')")
        connection.close()
