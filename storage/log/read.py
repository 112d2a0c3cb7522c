"""Reads answers whole, and finds one by its id or the beginning of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, inspect, select

from storage.errors import NotFoundError
from storage.log import tables
from storage.log.rows import ANSWER, CITATION, EXCHANGE, PASSAGE, STAGE
from storage.records import Answer, Candidate, Chunk, Citation, Exchange, FollowUp, Outcome
from storage.tables import TableBase


def number_of(connection: Connection, id_or_prefix: str, seen: Sequence[ColumnElement[bool]] = ()) -> int:
    """Return the number of the answer with that id, or of the only one whose id begins so.

    Raises NotFoundError, which lists what is near. Answers that do not meet `seen` are not there.
    """
    same = select(tables.AnswerRow.number).where(tables.AnswerRow.id == id_or_prefix, *seen)
    exact = connection.execute(same).scalar()
    if exact is not None:
        return exact
    found = _beginning_with(connection, id_or_prefix, seen) if id_or_prefix else []
    if len(found) == 1:
        return found[0][1]
    if found:
        raise NotFoundError(
            f"{len(found)} or more answers begin with {id_or_prefix!r}: {_ids(found)}",
            way_out="write more of the id",
        )
    raise NotFoundError(
        f"no answer {id_or_prefix!r} in the log",
        way_out=_near(connection, id_or_prefix, seen) or "the log is empty",
    )


def _beginning_with(
    connection: Connection, prefix: str, seen: Sequence[ColumnElement[bool]], limit: int = 5
) -> Sequence[Row[str, int]]:
    """Return answers whose ids begin so, newest first."""
    row = tables.AnswerRow
    query = select(row.id, row.number).where(row.id.startswith(prefix, autoescape=True), *seen)
    if connection.dialect.name == "sqlite":
        # SQLite's LIKE reads every id; this lets it go to the first one that fits.
        query = query.where(row.id >= prefix, row.id < f"{prefix}\U0010ffff")
    return connection.execute(query.order_by(row.number.desc()).limit(limit)).all()


def _near(connection: Connection, wanted: str, seen: Sequence[ColumnElement[bool]]) -> str:
    """Name the ids that share the longest beginning with `wanted`, to choose from."""
    near: Sequence[Row[str, int]] = []
    for length in range(len(wanted) + 1):
        found = _beginning_with(connection, wanted[:length], seen)
        if not found:
            break
        near = found
    return f"near are {_ids(near)}" if near else ""


def _ids(rows: Sequence[Row[str, int]]) -> str:
    return ", ".join(row.id for row in rows)


def read_answer(connection: Connection, number: int) -> Answer:
    """Return the answer of that number, equal to what was saved."""
    row = connection.execute(select(tables.AnswerRow).where(tables.AnswerRow.number == number)).one()
    prompt = connection.execute(
        select(tables.PromptRow.text).where(tables.PromptRow.answer_number == number)
    ).scalar()
    return Answer(
        **ANSWER.fields(row),
        prompt=prompt or "",
        follow_up=_follow_up_of(connection, number),
        stages=_stages_of(connection, number),
        citations=tuple(
            Citation(**CITATION.fields(row)) for row in _rows(connection, tables.CitationRow, number)
        ),
        candidates=_candidates_of(connection, number),
        neighbours=tuple(_passages_of(connection, tables.NeighbourRow, number).values()),
    )


def _rows(connection: Connection, table: type[TableBase], number: int) -> Iterable[Any]:
    """Return the rows of a table that belong to an answer, in the order of the table's key."""
    return connection.execute(_query(table), {"number": number})


@cache  # building a query takes longer than running it
def _query(table: type[TableBase]) -> Select[Any]:
    return select(table).filter_by(answer_number=bindparam("number")).order_by(*inspect(table).primary_key)


def _passages_of(
    connection: Connection, table: type[tables.CandidateRow | tables.NeighbourRow], number: int
) -> dict[int, Chunk]:
    """Return the passages that an answer holds by this table: position → passage, in order."""
    rows = connection.execute(_passages(table), {"number": number})
    return {row.position: Chunk(**PASSAGE.fields(row)) for row in rows}


@cache
def _passages(table: type[tables.CandidateRow | tables.NeighbourRow]) -> Select[int, tables.PassageRow]:
    query = select(table.position, tables.PassageRow).where(table.answer_number == bindparam("number"))
    return query.join(tables.PassageRow, tables.PassageRow.number == table.passage_number).order_by(
        table.position
    )


def _follow_up_of(connection: Connection, number: int) -> FollowUp | None:
    query = (
        select(tables.FollowUpRow.question, tables.FollowUpRow.prompt, tables.AnswerRow.id)
        .join(tables.AnswerRow, tables.AnswerRow.number == tables.FollowUpRow.follows, isouter=True)
        .where(tables.FollowUpRow.answer_number == number)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else FollowUp(row.question, row.prompt, row.id or "")


def _stages_of(connection: Connection, number: int) -> tuple[Outcome, ...]:
    exchanges: dict[int, list[Exchange]] = defaultdict(list)
    for row in _rows(connection, tables.CallRow, number):
        exchanges[row.stage_position].append(Exchange(**EXCHANGE.fields(row)))
    return tuple(
        Outcome(**STAGE.fields(row), exchanges=tuple(exchanges[row.position]))
        for row in _rows(connection, tables.StageRow, number)
    )


def _candidates_of(connection: Connection, number: int) -> tuple[Candidate, ...]:
    chunks = _passages_of(connection, tables.CandidateRow, number)
    seen: dict[int, tuple[dict[str, int], dict[str, float], dict[str, tuple[int, int]]]]
    seen = {position: ({}, {}, {}) for position in chunks}
    for row in _rows(connection, tables.RankRow, number):
        by_rank, scores, evidence = seen[row.position]
        if row.rank is not None:
            by_rank[row.stage] = row.rank
        if row.score is not None:
            scores[row.stage] = row.score
        if row.evidence_start is not None:
            evidence[row.stage] = (row.evidence_start, row.evidence_end)
    return tuple(
        Candidate(chunk, MappingProxyType(by_rank), MappingProxyType(scores), MappingProxyType(evidence))
        for chunk, (by_rank, scores, evidence) in zip(chunks.values(), seen.values(), strict=True)
    )
