"""Writes an answer as one row tree, in the transaction of the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Insert, TextClause, bindparam, insert, select, text

from storage.database import insert_new
from storage.log import full_text
from storage.log import rows as log_rows
from storage.log.redaction import Redactor
from storage.log.rows import Row
from storage.log.tables import (
    AnswerRow,
    CallRow,
    CandidateRow,
    CitationRow,
    FollowUpRow,
    NeighbourRow,
    PassageRow,
    PromptRow,
    RankRow,
    StageRow,
)
from storage.records import Answer
from storage.tables import TableBase

_INDEX = text("INSERT INTO answers_fts (rowid, question, text) VALUES (:number, :question, :text)")
_UNINDEX = text(
    "INSERT INTO answers_fts (answers_fts, rowid, question, text)"
    " VALUES ('delete', :number, :question, :text)"
)


def _with_passage(table: type[CandidateRow | NeighbourRow], *names: str) -> Insert:
    """Return an insert that finds the passage's number by its address, inside the database."""
    given = (bindparam(name, type_=table.__table__.c[name].type) for name in names)
    found = select(*given, PassageRow.number).where(PassageRow.hash == bindparam("hash"))
    return insert(table).from_select([*names, "passage_number"], found)


_STATEMENTS: Mapping[type[TableBase], Insert] = {
    CandidateRow: _with_passage(CandidateRow, "answer_number", "position", "slot", "cited"),
    NeighbourRow: _with_passage(NeighbourRow, "answer_number", "position"),
}


def insert_answer(
    connection: Connection, answer: Answer, passages: Sequence[Row], redactor: Redactor, replay_of: int | None
) -> None:
    """Write an answer, or nothing where its id is there already; `passages` come from `passage_rows`."""
    row = redactor.row(AnswerRow, {**log_rows.answer_row(answer), "replay_of": replay_of})
    new = insert_new(connection, AnswerRow).returning(AnswerRow.number)
    number = connection.execute(new, _taken(connection, [row])).scalar()
    if number is None:
        return
    _write(connection, insert_new(connection, PassageRow), passages)
    rows: dict[type[TableBase], Sequence[Row]] = {
        PromptRow: log_rows.prompt_rows(number, answer.prompt),
        FollowUpRow: log_rows.follow_up_rows(number, answer.follow_up, _followed(connection, answer)),
        StageRow: log_rows.stage_rows(number, answer.stages),
        CallRow: log_rows.call_rows(number, answer.stages),
        CandidateRow: log_rows.candidate_rows(number, answer, passages[: len(answer.candidates)]),
        NeighbourRow: log_rows.neighbour_rows(number, passages[len(answer.candidates) :]),
        RankRow: log_rows.rank_rows(number, answer.candidates),
        CitationRow: log_rows.citation_rows(number, answer.citations),
    }
    for table, some in rows.items():
        statement = _STATEMENTS.get(table)
        _write(
            connection,
            insert(table) if statement is None else statement,
            [redactor.row(table, one) for one in some],
        )
    index(connection, [(number, row["question"], row["text"])])


def _followed(connection: Connection, answer: Answer) -> int | None:
    """Return the number of the answer that this one follows; None where the log does not have it."""
    if answer.follow_up is None:
        return None
    before = select(AnswerRow.number).where(AnswerRow.id == answer.follow_up.answer_id)
    return connection.execute(before).scalar()


def passage_rows(answer: Answer, redactor: Redactor) -> list[Row]:
    """Return the passages of an answer's candidates, then its neighbours; made before the transaction."""
    chunks = [*(candidate.chunk for candidate in answer.candidates), *answer.neighbours]
    return [log_rows.with_address(redactor.row(PassageRow, log_rows.passage_row(chunk))) for chunk in chunks]


def index(connection: Connection, texts: Sequence[tuple[int, str, str]]) -> None:
    """Make answers findable: their numbers, questions and texts."""
    _feed(connection, _INDEX, texts)


def unindex(connection: Connection, texts: Sequence[tuple[int, str, str]]) -> None:
    """Take answers out of the search; the question and text must be those that were put in."""
    _feed(connection, _UNINDEX, texts)


def _feed(connection: Connection, statement: TextClause, texts: Sequence[tuple[int, str, str]]) -> None:
    if texts and connection.dialect.name == "sqlite":
        rows = [
            {"number": number, "question": full_text.indexed(question), "text": full_text.indexed(answer)}
            for number, question, answer in texts
        ]
        connection.execute(statement, rows)


def _write(connection: Connection, statement: Insert, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(statement, _taken(connection, rows))


def _taken(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Return the rows as this database takes them: PostgreSQL refuses the character NUL."""
    if connection.dialect.name == "sqlite":
        return list(rows)
    return [
        {
            name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in rows
    ]
