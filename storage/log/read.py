"""Reading answers whole, and finding the one that is meant by its id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, select

from storage.errors import NotFoundError
from storage.log.rows import read_reason, read_warnings
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
from storage.records import Answer, Candidate, Chunk, Citation, Exchange, FollowUp, Outcome, Usage


def number_of(connection: Connection, id_or_prefix: str) -> int:
    """The number of the answer with that id, or of the only one whose id begins so.

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
    """Answers whose ids begin so, newest first."""
    query = select(AnswerRow.id, AnswerRow.number).where(AnswerRow.id.startswith(prefix, autoescape=True))
    if connection.dialect.name == "sqlite":
        # SQLite's LIKE reads every id; this lets it go to the first one that fits.
        query = query.where(AnswerRow.id >= prefix, AnswerRow.id < f"{prefix}\U0010ffff")
    return connection.execute(query.order_by(AnswerRow.number.desc()).limit(limit)).all()


def _near(connection: Connection, wanted: str) -> str:
    """The ids that share the longest beginning with `wanted`, for people to choose from."""
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
    """The answer of that number, equal to what was saved."""
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
    return _answer_of(
        row,
        prompt or "",
        _follow_up_of(connection, number),
        _stages_of(_in_order(connection, StageRow, number), connection.execute(calls)),
        _in_order(connection, CitationRow, number),
        _candidates_of(connection.execute(passages), connection.execute(ranks)),
        _neighbours_of(connection, number),
    )


def _neighbours_of(connection: Connection, number: int) -> tuple[Chunk, ...]:
    passages = (
        select(PassageRow)
        .join(NeighbourRow, PassageRow.number == NeighbourRow.passage_number)
        .where(NeighbourRow.answer_number == number)
        .order_by(NeighbourRow.position)
    )
    return tuple(map(_chunk_of, connection.execute(passages)))


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


def _usage_of(row: Any) -> Usage:
    return Usage(row.calls, row.prompt_tokens, row.completion_tokens, row.cost, row.retries, row.cached)


def _stages_of(stages: Iterable[Any], calls: Iterable[Any]) -> tuple[Outcome, ...]:
    """Outcomes from rows of stages and of their calls, both in order."""
    exchanges: dict[int, list[Exchange]] = {}
    for row in calls:
        exchanges.setdefault(row.stage_position, []).append(_exchange_of(row))
    return tuple(
        Outcome(
            row.name,
            row.status,
            read_reason(row.reason, row.reason_data),
            row.ms,
            _usage_of(row),
            tuple(exchanges.get(row.position, ())),
        )
        for row in stages
    )


def _exchange_of(row: Any) -> Exchange:
    messages = tuple((role, content) for role, content in json.loads(row.messages))
    return Exchange(row.model, messages, row.reply, _usage_of(row), row.ms, row.error)


def _chunk_of(row: Any) -> Chunk:
    return Chunk(
        id=row.chunk_id,
        document_id=row.document_id,
        source=row.source,
        title=row.title,
        text=row.text,
        start=row.start_char,
        end=row.end_char,
        ordinal=row.ordinal,
        headings=tuple(json.loads(row.headings)),
        page=row.page,
        legible=row.legible,
        metadata=_mapping(row.metadata),
    )


def _citation_of(row: Any) -> Citation:
    return Citation(
        marker=row.marker,
        chunk_id=row.chunk_id,
        document_id=row.document_id,
        source=row.source,
        title=row.title,
        start=row.start_char,
        end=row.end_char,
        headings=tuple(json.loads(row.headings)),
        page=row.page,
        quote=row.quote,
    )


def _candidates_of(passages: Iterable[Any], ranks: Iterable[Any]) -> tuple[Candidate, ...]:
    """Candidates from rows of passages (each with its candidate's `position`) and rows of ranks, in order."""
    chunks = {row.position: _chunk_of(row) for row in passages}
    by_rank: dict[int, dict[str, int]] = {position: {} for position in chunks}
    by_score: dict[int, dict[str, float]] = {position: {} for position in chunks}
    evidence: dict[int, dict[str, tuple[int, int]]] = {position: {} for position in chunks}
    for row in ranks:
        if row.rank is not None:
            by_rank[row.position][row.stage] = row.rank
        if row.score is not None:
            by_score[row.position][row.stage] = row.score
        if row.evidence_start is not None:
            evidence[row.position][row.stage] = (row.evidence_start, row.evidence_end)
    return tuple(
        Candidate(
            chunk,
            MappingProxyType(by_rank[position]),
            MappingProxyType(by_score[position]),
            MappingProxyType(evidence[position]),
        )
        for position, chunk in chunks.items()
    )


def _answer_of(
    row: Any,
    prompt: str,
    follow_up: FollowUp | None,
    stages: tuple[Outcome, ...],
    citations: Iterable[Any],
    candidates: tuple[Candidate, ...],
    neighbours: tuple[Chunk, ...],
) -> Answer:
    return Answer(
        id=row.id,
        question=row.question,
        text=row.text,
        collection=row.collection,
        created_at=datetime.fromisoformat(row.created_at),
        rerank=row.rerank,
        answerer=row.answerer,
        top_k_retrieve=row.top_k_retrieve,
        top_k_rerank=row.top_k_rerank,
        answered=row.answered,
        citations=tuple(map(_citation_of, citations)),
        candidates=candidates,
        stages=stages,
        timings_ms=_mapping(row.timings_ms),
        warnings=read_warnings(row.warnings, row.warnings_data),
        prompt=prompt,
        fingerprints=_mapping(row.fingerprints),
        follow_up=follow_up,
        neighbours=neighbours,
    )


def _mapping(text: str) -> Mapping[str, Any]:
    """A mapping that nobody can change, from its JSON."""
    return MappingProxyType(json.loads(text))
