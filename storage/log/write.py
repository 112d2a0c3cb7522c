"""Writes an answer as one row tree, in the transaction of the caller."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, Insert, TextClause, bindparam, insert, select, text

from storage.database import insert_new
from storage.log import full_text, tables
from storage.log import rows as log_rows
from storage.log.redaction import Redactor
from storage.log.rows import Row
from storage.records import Answer, Candidate, FollowUp, Outcome, whole, worst
from storage.tables import TableBase

_INDEX = text("INSERT INTO answers_fts (rowid, question, text) VALUES (:number, :question, :text)")
_UNINDEX = text(
    "INSERT INTO answers_fts (answers_fts, rowid, question, text)"
    " VALUES ('delete', :number, :question, :text)"
)


def _with_passage(table: type[tables.CandidateRow | tables.NeighbourRow], *names: str) -> Insert:
    """Return an insert that finds the passage's number by its address, inside the database."""
    given = (bindparam(name, type_=table.__table__.c[name].type) for name in names)
    found = select(*given, tables.PassageRow.number).where(tables.PassageRow.hash == bindparam("hash"))
    return insert(table).from_select([*names, "passage_number"], found)


_STATEMENTS: Mapping[type[TableBase], Insert] = {
    tables.CandidateRow: _with_passage(tables.CandidateRow, "answer_number", "position", "slot", "cited"),
    tables.NeighbourRow: _with_passage(tables.NeighbourRow, "answer_number", "position"),
}


def insert_answer(
    connection: Connection, answer: Answer, passages: Sequence[Row], redactor: Redactor, more: Row
) -> None:
    """Write an answer, or nothing where its id is there already; `passages` come from `passage_rows`.

    `more` are the columns of its row that are not of the answer itself.
    """
    row = redactor.row(tables.AnswerRow, {**_answer_row(answer), **more})
    new = insert_new(connection, tables.AnswerRow).returning(tables.AnswerRow.number)
    number = connection.execute(new, _taken(connection, [row])).scalar()
    if number is None:
        return
    _write(connection, insert_new(connection, tables.PassageRow), passages)
    for table, some in _belonging_rows(connection, answer, passages).items():
        statement = _STATEMENTS.get(table)
        _write(
            connection,
            insert(table) if statement is None else statement,
            [redactor.row(table, {"answer_number": number, **one}) for one in some],
        )
    index(connection, [(number, row["question"], row["text"])])


def _answer_row(answer: Answer) -> Row:
    total = answer.timings_ms.get("total")
    return {
        **log_rows.ANSWER.row(answer),
        **log_rows.USAGE.row(answer.usage),
        "status": worst(stage.status for stage in answer.stages),
        "ms": sum(stage.ms for stage in answer.stages) if total is None else total,
    }


def _belonging_rows(
    connection: Connection, answer: Answer, passages: Sequence[Row]
) -> dict[type[TableBase], Iterable[Row]]:
    """Return the rows of the tables below `answers`, without the answer's number, in the order of writing.

    `passages` are those of the candidates, then of the neighbours.
    """
    found, joined = passages[: len(answer.candidates)], passages[len(answer.candidates) :]
    return {
        tables.PromptRow: [{"text": whole(answer.prompt)}] if answer.prompt else [],
        tables.FollowUpRow: _follow_up_rows(connection, answer.follow_up),
        tables.StageRow: _numbered(map(log_rows.STAGE.row, answer.stages)),
        tables.CallRow: _call_rows(answer.stages),
        tables.CandidateRow: _numbered(_candidate_rows(answer, found)),
        tables.NeighbourRow: _numbered({"hash": passage["hash"]} for passage in joined),
        tables.RankRow: _rank_rows(answer.candidates),
        tables.CitationRow: _numbered(map(log_rows.CITATION.row, answer.citations)),
    }


def _numbered(some: Iterable[Row]) -> list[Row]:
    return [{"position": position, **row} for position, row in enumerate(some)]


def _follow_up_rows(connection: Connection, follow_up: FollowUp | None) -> list[Row]:
    """Return the row with the number of the answer before; None where the log does not have it."""
    if follow_up is None:
        return []
    before = select(tables.AnswerRow.number).where(tables.AnswerRow.id == follow_up.answer_id)
    return [{**log_rows.FOLLOW_UP.row(follow_up), "follows": connection.execute(before).scalar()}]


def _call_rows(stages: Sequence[Outcome]) -> list[Row]:
    return [
        {"stage_position": stage_position, **row}
        for stage_position, stage in enumerate(stages)
        for row in _numbered(map(log_rows.EXCHANGE.row, stage.exchanges))
    ]


def _candidate_rows(answer: Answer, passages: Sequence[Row]) -> Iterator[Row]:
    cited = {citation.chunk_id for citation in answer.citations}
    for candidate, passage in zip(answer.candidates, passages, strict=True):
        # Where an answerer was given its passages in another order, that order is a stage `prompt`.
        slot = candidate.ranks.get("prompt", candidate.ranks.get("final"))
        yield {"hash": passage["hash"], "slot": slot, "cited": candidate.id in cited}


def _rank_rows(candidates: Sequence[Candidate]) -> list[Row]:
    """Return one row for each candidate and stage; numbers of any kind become Python's own.

    A score that is not a number is no score: SQLite would not keep it either.
    """
    return [
        {
            "position": position,
            "step": step,
            "stage": stage,
            "rank": None if (rank := candidate.ranks.get(stage)) is None else int(rank),
            "score": None if math.isnan(score := candidate.scores.get(stage, math.nan)) else float(score),
            "evidence_start": None if (span := candidate.evidence.get(stage)) is None else int(span[0]),
            "evidence_end": None if span is None else int(span[1]),
        }
        for position, candidate in enumerate(candidates)
        for step, stage in enumerate({**candidate.ranks, **candidate.scores, **candidate.evidence})
    ]


def passage_rows(answer: Answer, redactor: Redactor) -> list[Row]:
    """Return the passages of an answer's candidates, then its neighbours; made before the transaction."""
    chunks = [*(candidate.chunk for candidate in answer.candidates), *answer.neighbours]
    return [
        log_rows.with_address(redactor.row(tables.PassageRow, log_rows.PASSAGE.row(chunk)))
        for chunk in chunks
    ]


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
