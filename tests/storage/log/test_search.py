"""Listing and searching the log, in English and Chinese, and the order of the results."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.log.answer_log import AnswerLog
from storage.log.full_text import indexed, query
from storage.log.records import AnswerFilter
from storage.records import Outcome, Usage
from tests.support.log_samples import DATABASES, NOON, a_database, a_plain_answer

pytestmark = pytest.mark.heavy


@pytest.fixture(params=DATABASES)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnswerLog]:
    with a_database(request.param, tmp_path) as database:
        yield AnswerLog(database)


def found(log: AnswerLog, where: AnswerFilter) -> list[str]:
    """The numbers of the answers that a list shows, and a check that `count` agrees."""
    rows = log.list(100, where)
    assert log.count(where) == len(rows)
    assert [answer.id for answer in log.answers(where)] == [row.id for row in rows]
    return [row.id.removeprefix("answer-").lstrip("0") for row in rows]


QUESTIONS = {
    1: ("日志在哪里？", "Logs are in SQLite."),
    2: ("操作系统的RAG怎么部署", "见手册。"),
    3: ("Why do we rerank?", "Cross-encoders read both texts (重排序)."),
    4: ("ＦＵＬＬ ｗｉｄｔｈ", 'He said "NOT now" AND left * (etc.)'),
    5: ("カタカナの検索", "검색 엔진"),
}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("日志", ["1"]),
        ("志", ["1"]),
        ("重排", ["3"]),
        ("排序", ["3"]),
        ("重排序", ["3"]),
        ("系统", ["2"]),
        ("作系", ["2"]),
        ("系统RAG", []),
        ("RAG怎么", ["2"]),
        ("rag", ["2"]),
        ("部署 手册", ["2"]),
        ("排重", []),
        ("Rerank WHY", ["3"]),
        ("rer", ["3"]),
        ("cross-encoder", ["3"]),
        ("full", ["4"]),
        ("カナ", ["5"]),
        ("엔진", ["5"]),
        ("sqlite 日志", ["1"]),
    ],
)
def test_words_are_found_in_question_and_answer(tmp_path: Path, words: str, expected: list[str]) -> None:
    """Chinese words of any length are found without spaces, English ones by their beginning."""
    with a_database("sqlite", tmp_path) as database:
        log = AnswerLog(database)
        for number, (question, text) in QUESTIONS.items():
            log.save(a_plain_answer(number, question=question, text=text))
        assert found(log, AnswerFilter(text=words)) == expected
        assert [row.id for row in log.search(words)] == [f"answer-{int(number):06d}" for number in expected]


@pytest.mark.parametrize(
    "words", ['"', "AND", "NOT now", "*", "a* OR", "(", "question:x", "-", '""', "NEAR(", "^left"]
)
def test_signs_of_the_query_language_mean_nothing(log: AnswerLog, words: str) -> None:
    """Any input is searched for literally and never an error."""
    for number, (question, text) in QUESTIONS.items():
        log.save(a_plain_answer(number, question=question, text=text))
    assert {"AND": ["4"], "NOT now": ["4"]}.get(words, []) == [
        number for number in found(log, AnswerFilter(text=words)) if words in ("AND", "NOT now")
    ]


def test_a_search_for_nothing_but_signs_finds_nothing(tmp_path: Path) -> None:
    """A search of punctuation alone finds nothing."""
    with a_database("sqlite", tmp_path) as database:
        log = AnswerLog(database)
        log.save(a_plain_answer(1, question="??? !"))
        assert log.search("?? ！") == []


def test_an_empty_search_is_the_list(log: AnswerLog) -> None:
    """An empty search lists everything."""
    log.save(a_plain_answer(1))
    assert [row.id for row in log.search("  ")] == ["answer-000001"]


def test_chinese_is_indexed_as_pairs_and_the_last_character() -> None:
    """Chinese is indexed so that every word of two characters, and every single one, is found."""
    assert indexed("重排序RAG").split() == ["重排", "排序", "序", "RAG"]
    assert query("重排序") == '"重排 排序"'
    assert query("序") == '"序"*'


def filled(log: AnswerLog) -> AnswerLog:
    """Four answers, each different in something that lists filter by."""
    costly = Outcome("listwise", "fallback", "time-out", 800.0, Usage(3, 100, 10, 0.5))
    log.save(a_plain_answer(1, minutes=1))
    log.save(a_plain_answer(2, minutes=2, collection="手册", answerer="gpt-4o-mini"))
    log.save(a_plain_answer(3, minutes=3, rerank="maxsim:20,listwise:5", stages=(costly,)))
    log.save(a_plain_answer(4, minutes=4, answered=False, question="one more"), replay_of="answer-000001")
    log.feedback("answer-000001", good=True)
    log.feedback("answer-000002", good=False)
    log.feedback("answer-000003", grades={1: 3})
    return log


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (AnswerFilter(), ["4", "3", "2", "1"]),
        (AnswerFilter(text="question"), ["3", "2", "1"]),
        (AnswerFilter(text="question", collection="default"), ["3", "1"]),
        (AnswerFilter(since=NOON + timedelta(minutes=2)), ["4", "3", "2"]),
        (AnswerFilter(until=NOON + timedelta(minutes=2)), ["1"]),
        (AnswerFilter(collection="手册"), ["2"]),
        (AnswerFilter(strategy="listwise"), ["3"]),
        (AnswerFilter(strategy="maxsim:20,listwise:5"), ["3"]),
        (AnswerFilter(strategy="%"), []),
        (AnswerFilter(answerer="gpt-4o-mini"), ["2"]),
        (AnswerFilter(status="fallback"), ["3"]),
        (AnswerFilter(answered=False), ["4"]),
        (AnswerFilter(answered=True), ["3", "2", "1"]),
        (AnswerFilter(feedback="good"), ["1"]),
        (AnswerFilter(feedback="bad"), ["2"]),
        (AnswerFilter(feedback="judged"), ["3"]),
        (AnswerFilter(feedback="any"), ["3", "2", "1"]),
        (AnswerFilter(feedback="none"), ["4"]),
        (AnswerFilter(min_ms=500), ["3"]),
        (AnswerFilter(min_cost=0.5), ["3"]),
        (AnswerFilter(min_cost=0.6), []),
        (AnswerFilter(replays=True), ["4"]),
        (AnswerFilter(replays=False), ["3", "2", "1"]),
        (AnswerFilter(text="question", min_ms=500, feedback="judged", replays=False), ["3"]),
    ],
)
def test_every_filter_finds_its_answers(log: AnswerLog, where: AnswerFilter, expected: list[str]) -> None:
    """Each filter alone, and several together, newest first."""
    assert found(filled(log), where) == expected


def test_a_list_goes_on_where_the_page_before_ended(log: AnswerLog) -> None:
    """The pages of a list show every answer once."""
    filled(log)
    pages = [log.list(2, offset=offset) for offset in (0, 2, 4)]
    assert [[row.id[-1] for row in page] for page in pages] == [["4", "3"], ["2", "1"], []]


def test_lists_read_an_index_and_not_the_answers(tmp_path: Path) -> None:
    """Filters other than text search read a single index, in list order."""
    from storage.log.query import numbers
    from storage.log.records import LogReader

    where = AnswerFilter(
        collection="c", status="ok", strategy="listwise", feedback="good", min_ms=1, replays=False
    )
    with a_database("sqlite", tmp_path) as database, database.reading() as connection:
        statement = (
            numbers(connection, where, LogReader()).limit(20).compile(compile_kwargs={"literal_binds": True})
        )
        plan = " ".join(
            row.detail
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}".replace("%%", "%"))
        )
    assert "COVERING INDEX ix_answers_list" in plan
    assert "TEMP B-TREE" not in plan
