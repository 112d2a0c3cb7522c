"""The log of answers: stored and read back equal, with any number of writers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.errors import LogError, NotFoundError
from storage.log.answer_log import AnswerLog
from storage.log.rows import PASSAGE, with_address
from storage.reasons import Reason
from storage.records import Answer, Candidate, Chunk, FollowUp, Outcome
from tests.support.log_samples import DATABASES, NOON, a_candidate, a_database, a_full_answer, a_plain_answer

pytestmark = pytest.mark.heavy


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with a_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def log(database: Database) -> AnswerLog:
    return AnswerLog(database)


def count(database: Database, table: str) -> int:
    with database.reading() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_an_answer_comes_back_equal_in_every_field(log: AnswerLog) -> None:
    """A logged answer is read back equal in every field: Chinese, missing ranks, repeated stages."""
    answer = a_full_answer()
    log.save(answer)
    logged = log.get(answer.id)
    for field in fields(Answer):
        assert getattr(logged, field.name) == getattr(answer, field.name), field.name
    assert logged == answer
    assert logged.usage == answer.usage
    assert logged.final == answer.final


def test_reasons_come_back_with_their_codes_and_values(log: AnswerLog) -> None:
    """A logged reason keeps its code and values, and renders in any language."""
    inner = Reason("storage.unreadable-question")
    reasons = (
        inner,
        Reason("storage.of-stage", stage="检索\ud800", reason=inner),
        Reason("storage.of-stage", stage=["a", 2, 0.5, True, None], reason=Reason.all([inner, "plain 文"])),
        Reason.of("plain"),
    )
    stages = tuple(Outcome(f"stage {at}", "partial", reason) for at, reason in enumerate(reasons))
    log.save(a_plain_answer(stages=(*stages, Outcome("ok")), warnings=("plain", *reasons)))
    logged = log.get(a_plain_answer().id)
    for found in ([Reason.of(stage.reason) for stage in logged.stages[:-1]], logged.warnings[1:]):
        for one, reason in zip(map(Reason.of, found), reasons, strict=True):
            mended = {"\ud800": "\N{REPLACEMENT CHARACTER}"}
            assert one == reason.translate(str.maketrans(mended))
            assert one.code == reason.code
            assert one.render("zh") == reason.render("zh").translate(str.maketrans(mended))
    assert logged.stages[2].reason.values == reasons[2].values  # type: ignore[attr-defined]
    assert logged.stages[-1].reason == ""


def test_a_value_of_another_type_costs_no_answer(log: AnswerLog) -> None:
    """A path among the values of a reason is logged as text."""
    log.save(a_plain_answer(warnings=(Reason("storage.of-stage", stage=Path("a/b"), reason="c"),)))
    assert log.get(a_plain_answer().id).warnings == ("a/b: c",)


def test_a_full_answer_differs_from_every_default() -> None:
    """The full answer differs from every default, so that the round trip above tests each field."""
    plain = Answer(
        id="", question="", text="", collection="", created_at=NOON, rerank="", answerer="",
        top_k_retrieve=0, top_k_rerank=0,
    )  # fmt: skip
    same = [
        field.name
        for field in fields(Answer)
        if field.name != "created_at" and getattr(plain, field.name) == getattr(a_full_answer(), field.name)
    ]
    assert same == []


def test_the_order_of_stages_is_kept_within_a_candidate(log: AnswerLog) -> None:
    """A candidate's ranks are read back in the order of the stages."""
    log.save(a_full_answer())
    first = log.get(a_full_answer().id).candidates[0]
    assert list(first.ranks) == ["dense", "lexical", "retrieval", "listwise", "listwise#2", "final"]


def test_an_empty_answer_comes_back(log: AnswerLog) -> None:
    """An answer without text or candidates is logged, too."""
    answer = a_plain_answer(answered=False, text="", candidates=(), stages=(), question="")
    log.save(answer)
    assert log.get(answer.id) == answer


def test_equal_passages_are_kept_once_and_changed_ones_beside_them(
    database: Database, log: AnswerLog
) -> None:
    """Equal passages are stored once; a changed one gets a row of its own."""
    log.save(a_full_answer("one"))
    log.save(a_full_answer("two"))
    assert count(database, "passages") == 50
    moved = a_candidate(0, final=True)
    moved = replace(moved, chunk=replace(moved.chunk, start=moved.chunk.start + 1))
    log.save(a_plain_answer(candidates=(moved,)))
    assert count(database, "passages") == 51
    assert log.get(a_plain_answer().id).candidates[0].chunk.start == moved.chunk.start
    assert log.get("one") == a_full_answer("one")


def test_the_address_of_a_passage_stays_the_same() -> None:
    """Another one would keep every passage of older answers a second time."""
    chunk = Chunk(
        id="c",
        document_id="d",
        source="s.md",
        title="题",
        text="text",
        start=1,
        end=5,
        ordinal=2,
        headings=("甲", "b"),
        page=3,
        metadata={"k": "v"},
    )
    address = with_address(PASSAGE.row(chunk))["hash"]
    assert address == "abc77a8fde492309eae3998e4b3717af74f518e09d941177e9b3ec8f1dfa3d60"


def test_a_passage_may_occur_twice_in_an_answer(log: AnswerLog) -> None:
    """Two equal candidates stay two."""
    answer = a_plain_answer(candidates=(a_candidate(2, final=True), a_candidate(2, final=False)))
    log.save(answer)
    assert log.get(answer.id) == answer


def test_saving_again_changes_nothing(database: Database, log: AnswerLog) -> None:
    """Saving an answer twice stores it once."""
    log.save(a_full_answer())
    log.save(replace(a_full_answer(), text="another text"))
    assert log.get(a_full_answer().id) == a_full_answer()
    assert count(database, "answers") == 1
    assert count(database, "stages") == 3


def test_a_score_that_is_no_python_number_is_kept(log: AnswerLog) -> None:
    """Scores of other number types, such as 32-bit floats, are stored."""
    import numpy as np

    chunk = a_candidate(0, final=True).chunk
    score = np.float32(0.1)
    log.save(a_plain_answer(candidates=(Candidate(chunk, {"own": np.int64(1)}, {"own": score}),)))  # type: ignore[dict-item]
    [candidate] = log.get(a_plain_answer().id).candidates
    assert candidate.ranks == {"own": 1}
    assert candidate.scores == {"own": float(score)}


def test_a_score_without_a_rank_and_a_score_beyond_numbers(log: AnswerLog) -> None:
    """A score without a rank is kept, infinity survives, and NaN becomes no score."""
    chunk = a_candidate(0, final=True).chunk
    answer = a_plain_answer(candidates=(Candidate(chunk, {"b": 1}, {"a": float("inf"), "b": float("nan")}),))
    log.save(answer)
    [candidate] = log.get(answer.id).candidates
    assert candidate.ranks == {"b": 1}
    assert candidate.scores == {"a": float("inf")}


def test_text_that_no_database_takes_is_mended_not_lost(log: AnswerLog) -> None:
    """A lone surrogate in a question or passage costs one character, not the answer."""
    chunk = Chunk(id="c", document_id="d", source="s\ud800", title="", text="a\udfffb", start=0, end=3)
    log.save(a_plain_answer(question="why\ud83d?", candidates=(Candidate(chunk),), warnings=("w\ud800",)))
    logged = log.get(a_plain_answer().id)
    assert logged.question == "why\N{REPLACEMENT CHARACTER}?"
    assert logged.candidates[0].text == "a\N{REPLACEMENT CHARACTER}b"
    assert logged.warnings == ("w\N{REPLACEMENT CHARACTER}",)


def test_times_are_kept_as_instants(log: AnswerLog) -> None:
    """A time in another zone is read back as the same instant, and sorts by it."""
    beijing = timezone(timedelta(hours=8))
    early = a_plain_answer(1, created_at=NOON.astimezone(beijing))
    late = a_plain_answer(2, minutes=1)
    log.save(late)
    log.save(early)
    assert log.get(early.id) == early
    assert [row.id for row in log.list()] == [late.id, early.id]


def test_an_answer_is_found_by_the_beginning_of_its_id(log: AnswerLog) -> None:
    """An answer is found by the first characters of its id."""
    log.save(a_plain_answer(123))
    log.save(a_plain_answer(456))
    assert log.get("answer-0001").id == "answer-000123"


def test_a_whole_id_wins_over_longer_ones(log: AnswerLog) -> None:
    """A complete id wins over a longer id that begins with it."""
    log.save(replace(a_plain_answer(), id="abc"))
    log.save(replace(a_plain_answer(), id="abcd"))
    assert log.get("abc").id == "abc"


def test_a_beginning_that_fits_several_lists_them(log: AnswerLog) -> None:
    """An ambiguous prefix is an error that lists the matching answers."""
    log.save(a_plain_answer(1))
    log.save(a_plain_answer(2))
    with pytest.raises(NotFoundError) as caught:
        log.get("answer-")
    assert "answer-000001" in str(caught.value)
    assert "answer-000002" in str(caught.value)
    assert "more of the id" in caught.value.way_out


def test_a_replay_is_linked_to_its_original(log: AnswerLog) -> None:
    """A replay can be found from its original and the other way round; an unknown original is an error."""
    log.save(a_plain_answer(1))
    log.save(a_plain_answer(2), replay_of="answer-000001")
    log.save(a_plain_answer(3), replay_of="answer-000001")
    assert [row.id for row in log.replays("answer-000001")] == ["answer-000002", "answer-000003"]
    assert log.summary("answer-000003").replay_of == "answer-000001"
    assert log.summary("answer-000001").replay_of is None
    with pytest.raises(NotFoundError):
        log.save(a_plain_answer(4), replay_of="nothing")
    assert log.count() == 3


def test_the_slot_in_the_prompt_is_the_final_rank_unless_a_stage_says_otherwise(
    database: Database, log: AnswerLog
) -> None:
    """The slot follows the stage `prompt` when the answerer reordered its passages, else the final rank."""
    first, second = a_candidate(0, final=True), a_candidate(1, final=True)
    log.save(a_plain_answer(1, candidates=(first, second, a_candidate(2, final=False))))
    log.save(a_plain_answer(2, candidates=(first.ranked("prompt", 2), second.ranked("prompt", 1))))
    with database.reading() as connection:
        slots = connection.execute(text("SELECT slot FROM candidates ORDER BY answer_number, position"))
        assert slots.scalars().all() == [1, 2, None, 2, 1]


@pytest.mark.parametrize("wanted", ["answer-00012x", "nothing like it", "", "%", "answer_000123"])
def test_an_unknown_id_shows_what_is_near(log: AnswerLog, wanted: str) -> None:
    """The error for an unknown id suggests existing ones; SQL wildcards are literal."""
    log.save(a_plain_answer(123))
    with pytest.raises(NotFoundError) as caught:
        log.get(wanted)
    assert "answer-000123" in caught.value.way_out


def test_an_unknown_id_in_an_empty_log(log: AnswerLog) -> None:
    """The error for an unknown id in an empty log says that the log is empty."""
    with pytest.raises(NotFoundError) as caught:
        log.get("abc")
    assert "empty" in caught.value.way_out


def test_the_list_is_newest_first_and_bounded(log: AnswerLog) -> None:
    """The list shows the latest answers first, each with its worst status and total time."""
    for number in range(5):
        log.save(a_plain_answer(number, minutes=number))
    log.save(a_full_answer())
    assert [row.id for row in log.list(limit=2)] == ["answer-000004", "answer-000003"]
    summary = next(row for row in log.list() if row.id == a_full_answer().id)
    assert (summary.question, summary.collection, summary.rerank, summary.answerer) == (
        a_full_answer().question, "知识库", "listwise:20,listwise:5", "gpt-4o-mini",
    )  # fmt: skip
    assert (summary.created_at, summary.answered, summary.status) == (NOON, False, "partial")
    assert (summary.ms, summary.cost) == (1370.75, 0.0125)


def test_an_answer_without_a_total_takes_as_long_as_its_stages(log: AnswerLog) -> None:
    """An answer without a total time takes the sum of its stages."""
    log.save(a_plain_answer(stages=(Outcome("retrieval", ms=2.0), Outcome("maxsim", ms=3.5))))
    assert log.list()[0].ms == 5.5


def test_an_answer_that_cannot_be_written_whole_is_not_written_at_all(
    database: Database, log: AnswerLog
) -> None:
    """An error in the middle of a save leaves no row behind."""
    too_big = 2**70
    with pytest.raises(LogError):
        log.save(a_plain_answer(candidates=(a_candidate(0, final=True).ranked("own", too_big),)))
    assert [count(database, table) for table in ("answers", "passages", "candidates", "stages")] == [0] * 4
    log.save(a_plain_answer())
    assert log.get(a_plain_answer().id) == a_plain_answer()


def test_eight_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Eight processes writing to one fresh file lose no answer."""
    path = tmp_path / "log.db"
    script = (
        "import sys; from pathlib import Path; from storage.database import Database;"
        "from storage.log.answer_log import AnswerLog; from tests.support.log_samples import a_full_answer;"
        "log = AnswerLog(Database.open(Path(sys.argv[1])));"
        "[log.save(a_full_answer(f'{sys.argv[2]}-{n}')) for n in range(10)]"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(writer)],
            cwd=Path(__file__).parents[3],
            stderr=subprocess.PIPE,
            text=True,
        )
        for writer in range(8)
    ]
    assert [process.communicate()[1] for process in processes] == [""] * 8
    with Database.open(path) as database:
        log = AnswerLog(database)
        assert len(log.list(limit=1000)) == 80
        assert count(database, "passages") == 50
        assert log.get("7-9") == a_full_answer("7-9")


def test_a_follow_up_is_linked_to_the_answer_before_while_the_log_has_it(
    database: Database, log: AnswerLog
) -> None:
    """The link to the answer before ends when that answer is pruned; the understood question stays."""
    first = a_plain_answer(1)
    second = a_plain_answer(2, follow_up=FollowUp("question 1 question 2", "prompt", first.id))
    log.save(first)
    log.save(second)
    assert log.get(second.id) == second
    with database.reading() as connection:
        row = connection.exec_driver_sql(
            f"SELECT understood, follows FROM v_answers WHERE id = '{second.id}'"
        )
        assert tuple(row.one()) == ("question 1 question 2", first.id)
    with database.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM answers WHERE id = '{first.id}'")
        connection.commit()
    assert log.get(second.id).follow_up == FollowUp("question 1 question 2", "prompt")


def test_a_follow_up_of_an_answer_that_is_not_in_the_log_is_kept_without_the_link(log: AnswerLog) -> None:
    """A follow-up of an answer that was never logged is kept without the link."""
    log.save(a_plain_answer(2, follow_up=FollowUp("whole", "", "nowhere")))
    assert log.get(a_plain_answer(2).id).follow_up == FollowUp("whole")
