"""Reads and writes feedback on answers: verdicts, notes, and grades of passages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from storage.errors import BadInputError
from storage.log.records import Feedback
from storage.log.redaction import Redactor
from storage.log.rows import clean, iso
from storage.log.tables import AnswerRow, CandidateRow, FeedbackRow, JudgementRow

GRADES = range(4)


def add(
    connection: Connection,
    number: int,
    good: bool | None,
    note: str,
    grades: Mapping[int, int],
    redactor: Redactor,
) -> None:
    """Add feedback; grades are by place (from 1) and replace earlier ones of the same passage.

    Raises BadInputError where nothing is given, or a place or grade does not exist.
    """
    _check(connection, number, good, note, grades)
    now = iso(datetime.now(UTC))
    if good is not None or note:
        row = {"answer_number": number, "created_at": now, "good": good, "note": note}
        connection.execute(insert(FeedbackRow), redactor.row(FeedbackRow, clean(row)))
    for place, grade in grades.items():
        key = {"answer_number": number, "position": place - 1}
        connection.execute(delete(JudgementRow).filter_by(**key))
        connection.execute(insert(JudgementRow), {**key, "grade": grade, "created_at": now})
    _note_on_answer(connection, number, good)


def of(connection: Connection, number: int) -> Feedback:
    """Return all feedback on an answer, put together."""
    rows = connection.execute(
        select(FeedbackRow.good, FeedbackRow.note)
        .where(FeedbackRow.answer_number == number)
        .order_by(FeedbackRow.number)
    ).all()
    judgements = (
        select(JudgementRow.position, JudgementRow.grade)
        .where(JudgementRow.answer_number == number)
        .order_by(JudgementRow.position)
    )
    verdicts = [row.good for row in rows if row.good is not None]
    return Feedback(
        good=verdicts[-1] if verdicts else None,
        notes=tuple(row.note for row in rows if row.note),
        grades={position + 1: grade for position, grade in connection.execute(judgements)},
    )


def _check(
    connection: Connection, number: int, good: bool | None, note: str, grades: Mapping[int, int]
) -> None:
    if good is None and not note and not grades:
        raise BadInputError(
            "there is no feedback to note", way_out="say good or bad, grade a passage, or write a note"
        )
    if unknown := [grade for grade in grades.values() if grade not in GRADES]:
        raise BadInputError(
            f"{unknown[0]!r} is not a grade",
            way_out="grade from 0 (not relevant) to 3 (answers the question)",
        )
    places = connection.execute(
        select(func.count()).select_from(CandidateRow).where(CandidateRow.answer_number == number)
    ).scalar_one()
    if missing := [place for place in grades if not 1 <= place <= places]:
        raise BadInputError(
            f"the answer has no passage {missing[0]}", way_out=f"its passages are numbered 1 to {places}"
        )


def _note_on_answer(connection: Connection, number: int, good: bool | None) -> None:
    """Update the answer's own row, so that lists can filter by it."""
    judged = (
        select(func.count())
        .select_from(JudgementRow)
        .where(JudgementRow.answer_number == number)
        .scalar_subquery()
    )
    values: dict[str, object] = {"judged": judged}
    if good is not None:
        values["feedback"] = "good" if good else "bad"
    connection.execute(update(AnswerRow).where(AnswerRow.number == number).values(values))
