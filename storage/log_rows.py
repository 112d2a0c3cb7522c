"""Answers as rows of the log, and back: plain conversion, no database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from storage.records import Answer, Candidate, Chunk, Citation, Outcome, Usage, worst

# A row on its way into or out of the database: column name → value.
Row = dict[str, Any]


def iso(moment: datetime) -> str:
    """A time in UTC as text of fixed width, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def legible(text: str) -> str:
    """The text without lone surrogates, which no database takes; each becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean(row: Row) -> Row:
    """A row whose texts every database takes."""
    return {name: legible(value) if isinstance(value, str) else value for name, value in row.items()}


def to_json(value: object) -> str:
    """JSON that people can read in the database: Chinese as it is written."""
    plain = dict(value) if isinstance(value, Mapping) else value
    return json.dumps(plain, ensure_ascii=False)


def mapping(text: str) -> Mapping[str, Any]:
    """A mapping that nobody can change, from its JSON."""
    return MappingProxyType(json.loads(text))


def total_ms(answer: Answer) -> float:
    """The whole time of an answer: its own `total` where it has one, else what its stages took."""
    total = answer.timings_ms.get("total")
    return sum(stage.ms for stage in answer.stages) if total is None else total


def answer_row(answer: Answer) -> Row:
    usage = answer.usage
    row: Row = {
        "id": answer.id,
        "created_at": iso(answer.created_at),
        "collection": answer.collection,
        "rerank": answer.rerank,
        "answerer": answer.answerer,
        "status": worst(stage.status for stage in answer.stages),
        "answered": answer.answered,
        "ms": total_ms(answer),
        **_usage_row(usage),
        "top_k_retrieve": answer.top_k_retrieve,
        "top_k_rerank": answer.top_k_rerank,
        "question": answer.question,
        "text": answer.text,
        "timings_ms": to_json(answer.timings_ms),
        "warnings": to_json(answer.warnings),
        "fingerprints": to_json(answer.fingerprints),
    }
    return clean(row)


def stage_rows(number: int, stages: Sequence[Outcome]) -> list[Row]:
    rows: list[Row] = [
        {
            "answer_number": number,
            "position": position,
            "name": stage.name,
            "status": stage.status,
            "reason": stage.reason,
            "ms": stage.ms,
            **_usage_row(stage.usage),
        }
        for position, stage in enumerate(stages)
    ]
    return list(map(clean, rows))


def _usage_row(usage: Usage) -> Row:
    return {
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": usage.cost,
    }


def passage_row(chunk: Chunk) -> Row:
    """A passage and its address, the SHA-256 of everything in it."""
    row: Row = {
        "chunk_id": chunk.id,
        "document_id": chunk.document_id,
        "source": chunk.source,
        "title": chunk.title,
        "text": chunk.text,
        "start_char": chunk.start,
        "end_char": chunk.end,
        "ordinal": chunk.ordinal,
        "headings": to_json(chunk.headings),
        "page": chunk.page,
        "legible": chunk.legible,
        "metadata": to_json(chunk.metadata),
    }
    row = clean(row)
    return row | {"hash": hashlib.sha256(json.dumps(list(row.values())).encode()).hexdigest()}


def candidate_rows(number: int, answer: Answer, passages: Sequence[int]) -> list[Row]:
    """One row a candidate; `passages` are the numbers of their passages, in the same order."""
    cited = {citation.chunk_id for citation in answer.citations}
    return [
        {
            "answer_number": number,
            "position": position,
            "passage_number": passage,
            # Where an answerer was given its passages in another order, that order is a stage `prompt`.
            "slot": candidate.ranks.get("prompt", candidate.ranks.get("final")),
            "cited": candidate.id in cited,
        }
        for position, (candidate, passage) in enumerate(zip(answer.candidates, passages, strict=True))
    ]


def rank_rows(number: int, candidates: Sequence[Candidate]) -> list[Row]:
    """One row for each candidate and stage; numbers of any kind become Python's own."""
    return [
        {
            "answer_number": number,
            "position": position,
            "step": step,
            "stage": stage,
            "rank": None if (rank := candidate.ranks.get(stage)) is None else int(rank),
            "score": None if (score := candidate.scores.get(stage)) is None else float(score),
        }
        for position, candidate in enumerate(candidates)
        for step, stage in enumerate({**candidate.ranks, **candidate.scores})
    ]


def citation_rows(number: int, citations: Sequence[Citation]) -> list[Row]:
    rows: list[Row] = [
        {
            "answer_number": number,
            "position": position,
            "marker": citation.marker,
            "chunk_id": citation.chunk_id,
            "document_id": citation.document_id,
            "source": citation.source,
            "title": citation.title,
            "start_char": citation.start,
            "end_char": citation.end,
            "headings": to_json(citation.headings),
            "page": citation.page,
            "quote": citation.quote,
        }
        for position, citation in enumerate(citations)
    ]
    return list(map(clean, rows))


def stage_of(row: Any) -> Outcome:
    usage = Usage(row.calls, row.prompt_tokens, row.completion_tokens, row.cost)
    return Outcome(row.name, row.status, row.reason, row.ms, usage)


def chunk_of(row: Any) -> Chunk:
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
        metadata=mapping(row.metadata),
    )


def citation_of(row: Any) -> Citation:
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


def candidates_of(passages: Iterable[Any], ranks: Iterable[Any]) -> tuple[Candidate, ...]:
    """Candidates from rows of passages (each with its candidate's `position`) and rows of ranks, in order."""
    chunks = {row.position: chunk_of(row) for row in passages}
    by_rank: dict[int, dict[str, int]] = {position: {} for position in chunks}
    by_score: dict[int, dict[str, float]] = {position: {} for position in chunks}
    for row in ranks:
        if row.rank is not None:
            by_rank[row.position][row.stage] = row.rank
        if row.score is not None:
            by_score[row.position][row.stage] = row.score
    return tuple(
        Candidate(chunk, MappingProxyType(by_rank[position]), MappingProxyType(by_score[position]))
        for position, chunk in chunks.items()
    )


def answer_of(
    row: Any,
    prompt: str,
    stages: Iterable[Any],
    citations: Iterable[Any],
    candidates: tuple[Candidate, ...],
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
        citations=tuple(map(citation_of, citations)),
        candidates=candidates,
        stages=tuple(map(stage_of, stages)),
        timings_ms=mapping(row.timings_ms),
        warnings=tuple(json.loads(row.warnings)),
        prompt=prompt,
        fingerprints=mapping(row.fingerprints),
    )
