"""Reads answers whole, and finds one by its id or the beginning of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, select

from storage.errors import NotFoundError
from storage.log.rows import (
    read_answer_row,
    read_citation,
    read_exchange,
    read_passage,
    read_stage,
)
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
from storage.records import Answer, Candidate, Chunk, Exchange, FollowUp, Outcome


def number_of(connection: Connection, id_or_prefix: str) -> int:
    """Return the number of the answer with that id, or of the only one whose id begins so.

    Raises NotFoundError, which lists what is near.
    """
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
    """Return answers whose ids begin so, newest first."""
    query = select(AnswerRow.id, AnswerRow.number).where(AnswerRow.id.startswith(prefix, autoescape=True))
    if connection.dialect.name == "sqlite":
        # SQLite's LIKE reads every id; this lets it go to the first one that fits.
        query = query.where(AnswerRow.id >= prefix, AnswerRow.id < f"{prefix}\U0010ffff")
    return connection.execute(query.order_by(AnswerRow.number.desc()).limit(limit)).all()


def _near(connection: Connection, wanted: str) -> str:
    """Name the ids that share the longest beginning with `wanted`, to choose from."""
    near: Sequence[Row[str, int]] = []
    for length in range(len(wanted) + 1):
        found = _beginning_with(connection, wanted[:length])
        if not found:
            break
        near = found
    return f"near are {_ids(near)}" if near else ""


def _ids(rows: Sequence[Row[str, int]]) -> str:
    return ", ".join(row.id for row in rows)


def read_answer(connection: Connection, number: int) -> Answer:
    """Return the answer of that number, equal to what was saved."""
    row = connection.execute(select(AnswerRow).where(AnswerRow.number == number)).one()
    prompt = connection.execute(select(PromptRow.text).where(PromptRow.answer_number == number)).scalar()
    passages = (
        select(CandidateRow.position, PassageRow)
        .join(PassageRow, PassageRow.number == CandidateRow.passage_number)
        .where(CandidateRow.answer_number == number)
        .order_by(CandidateRow.position)
    )
    calls = (
        select(CallRow)
        .where(CallRow.answer_number == number)
        .order_by(CallRow.stage_position, CallRow.position)
    )
    ranks = select(RankRow).where(RankRow.answer_number == number).order_by(RankRow.position, RankRow.step)
    return Answer(
        **read_answer_row(row),
        prompt=prompt or "",
        follow_up=_follow_up_of(connection, number),
        stages=_stages_of(_in_order(connection, StageRow, number), connection.execute(calls)),
        citations=tuple(map(read_citation, _in_order(connection, CitationRow, number))),
        candidates=_candidates_of(connection.execute(passages), connection.execute(ranks)),
        neighbours=_neighbours_of(connection, number),
    )


def _neighbours_of(connection: Connection, number: int) -> tuple[Chunk, ...]:
    passages = (
        select(PassageRow)
        .join(NeighbourRow, PassageRow.number == NeighbourRow.passage_number)
        .where(NeighbourRow.answer_number == number)
        .order_by(NeighbourRow.position)
    )
    return tuple(map(read_passage, connection.execute(passages)))


def _follow_up_of(connection: Connection, number: int) -> FollowUp | None:
    query = (
        select(FollowUpRow.question, FollowUpRow.prompt, AnswerRow.id)
        .join(AnswerRow, AnswerRow.number == FollowUpRow.follows, isouter=True)
        .where(FollowUpRow.answer_number == number)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else FollowUp(row.question, row.prompt, row.id or "")


def _in_order(connection: Connection, table: type[StageRow | CitationRow], number: int) -> Sequence[Any]:
    query = select(table).where(table.answer_number == number).order_by(table.position)
    return connection.execute(query).all()


def _stages_of(stages: Iterable[Any], calls: Iterable[Any]) -> tuple[Outcome, ...]:
    """Return outcomes from rows of stages and of their calls, both in order."""
    exchanges: dict[int, list[Exchange]] = {}
    for row in calls:
        exchanges.setdefault(row.stage_position, []).append(read_exchange(row))
    return tuple(read_stage(row, exchanges.get(row.position, ())) for row in stages)


def _candidates_of(passages: Iterable[Any], ranks: Iterable[Any]) -> tuple[Candidate, ...]:
    """Return candidates from rows of passages (with their candidates' `position`) and of ranks, in order."""
    chunks = {row.position: read_passage(row) for row in passages}
    seen: dict[int, tuple[dict[str, int], dict[str, float], dict[str, tuple[int, int]]]]
    seen = {position: ({}, {}, {}) for position in chunks}
    for row in ranks:
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
