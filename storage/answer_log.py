"""The log of answers: every answer as one row tree, given back as the same `Answer`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from storage import log_rows
from storage.database import Database, insert_new
from storage.errors import NotFoundError
from storage.log_records import AnswerSummary
from storage.records import Answer
from storage.tables import (
    AnswerRow,
    Base,
    CandidateRow,
    CitationRow,
    PassageRow,
    PromptRow,
    RankRow,
    StageRow,
)


class AnswerLog:
    """Answers in a database. Every method raises LogError where the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, answer: Answer) -> None:
        """Write an answer, all of it or nothing. An answer that is in the log already stays as it is."""
        row = log_rows.answer_row(answer)
        passages = [log_rows.passage_row(candidate.chunk) for candidate in answer.candidates]
        with self._database.writing() as connection:
            if connection.execute(select(AnswerRow.number).where(AnswerRow.id == answer.id)).first():
                return
            number = connection.execute(insert(AnswerRow).returning(AnswerRow.number), row).scalar_one()
            numbers = _passage_numbers(connection, passages)
            _insert(
                connection,
                PromptRow,
                [{"answer_number": number, "text": answer.prompt}] if answer.prompt else [],
            )
            _insert(connection, StageRow, log_rows.stage_rows(number, answer.stages))
            _insert(connection, CandidateRow, log_rows.candidate_rows(number, answer, numbers))
            _insert(connection, RankRow, log_rows.rank_rows(number, answer.candidates))
            _insert(connection, CitationRow, log_rows.citation_rows(number, answer.citations))
            connection.commit()

    def get(self, id_or_prefix: str) -> Answer:
        """The answer with that id, or the only one whose id begins so.

        Raises NotFoundError where there is none or more than one; its message lists what is near.
        """
        with self._database.reading() as connection:
            number = _number_of(connection, id_or_prefix)
            return _read(connection, number)

    def list(self, limit: int = 20) -> list[AnswerSummary]:
        """The latest answers, newest first, at most `limit`."""
        newest = select(AnswerRow).order_by(AnswerRow.created_at.desc(), AnswerRow.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_summary(row) for row in connection.execute(newest)]


def _insert(connection: Connection, table: type[Base], rows: Sequence[log_rows.Row]) -> None:
    if rows:
        connection.execute(insert(table), list(rows))


def _passage_numbers(connection: Connection, passages: Sequence[log_rows.Row]) -> list[int]:
    """The numbers of passages, in their order; those that are not in the log yet are written."""
    hashes = [row["hash"] for row in passages]
    known = _numbers_by_hash(connection, hashes)
    if missing := [row for row in passages if row["hash"] not in known]:
        connection.execute(insert_new(connection, PassageRow), missing)
        known = _numbers_by_hash(connection, hashes)
    return [known[address] for address in hashes]


def _numbers_by_hash(connection: Connection, hashes: Sequence[str]) -> dict[str, int]:
    rows = connection.execute(select(PassageRow.hash, PassageRow.number).where(PassageRow.hash.in_(hashes)))
    return {row.hash: row.number for row in rows}


def _number_of(connection: Connection, id_or_prefix: str) -> int:
    """The number of the one answer that is meant."""
    exact = connection.execute(select(AnswerRow.number).where(AnswerRow.id == id_or_prefix)).scalar()
    if exact is not None:
        return exact
    found = _beginning_with(connection, id_or_prefix) if id_or_prefix else []
    if len(found) == 1:
        return found[0][1]
    if found:
        raise NotFoundError(
            f"{len(found)} or more answers begin with {id_or_prefix!r}: {_ids(found)}",
            way_out="write more of the id",
        )
    raise NotFoundError(
        f"no answer {id_or_prefix!r} in the log",
        way_out=_near(connection, id_or_prefix) or "the log is empty",
    )


def _beginning_with(connection: Connection, prefix: str, limit: int = 5) -> Sequence[Row[str, int]]:
    """Answers whose ids begin so, newest first."""
    query = select(AnswerRow.id, AnswerRow.number).where(AnswerRow.id.startswith(prefix, autoescape=True))
    return connection.execute(query.order_by(AnswerRow.number.desc()).limit(limit)).all()


def _near(connection: Connection, wanted: str) -> str:
    """The ids that share the longest beginning with `wanted`, for people to choose from."""
    for length in range(len(wanted), -1, -1):
        if found := _beginning_with(connection, wanted[:length]):
            return f"near are {_ids(found)}"
    return ""


def _ids(rows: Sequence[Row[str, int]]) -> str:
    return ", ".join(row.id for row in rows)


def _read(connection: Connection, number: int) -> Answer:
    row = connection.execute(select(AnswerRow).where(AnswerRow.number == number)).one()
    prompt = connection.execute(select(PromptRow.text).where(PromptRow.answer_number == number)).scalar()
    passages = (
        select(CandidateRow.position, PassageRow)
        .join(PassageRow, PassageRow.number == CandidateRow.passage_number)
        .where(CandidateRow.answer_number == number)
        .order_by(CandidateRow.position)
    )
    ranks = select(RankRow).where(RankRow.answer_number == number).order_by(RankRow.position, RankRow.step)
    return log_rows.answer_of(
        row,
        prompt or "",
        _in_order(connection, StageRow, number),
        _in_order(connection, CitationRow, number),
        log_rows.candidates_of(connection.execute(passages), connection.execute(ranks)),
    )


def _in_order(connection: Connection, table: type[StageRow | CitationRow], number: int) -> Sequence[Any]:
    query = select(table).where(table.answer_number == number).order_by(table.position)
    return connection.execute(query).all()


def _summary(row: Any) -> AnswerSummary:
    return AnswerSummary(
        id=row.id,
        created_at=datetime.fromisoformat(row.created_at),
        question=row.question,
        collection=row.collection,
        rerank=row.rerank,
        answerer=row.answerer,
        status=row.status,
        ms=row.ms,
        answered=row.answered,
        cost=row.cost,
    )
