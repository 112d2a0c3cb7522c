"""Answers as rows of the log: plain conversion, no database."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from storage.reasons import TEXT, Reason
from storage.records import Answer, Candidate, Chunk, Citation, FollowUp, Outcome, Usage, worst

# A row on its way into or out of the database: column name → value.
Row = dict[str, Any]


_PASSAGE = (
    *("chunk_id", "document_id", "source", "title", "text", "start_char", "end_char"),
    *("ordinal", "headings", "page", "legible", "metadata"),
)


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
    return json.dumps(plain, ensure_ascii=False, default=str)


def reason_data(reason: str) -> str | None:
    """Return a reason's code and values as JSON; None for plain text, which its sentence says in full."""
    value = _reason_value(reason)
    return None if value is None else to_json(value)


def warnings_data(warnings: Iterable[str]) -> str:
    """Return the codes and values of warnings as a JSON list, null for each that is plain text."""
    return to_json([_reason_value(warning) for warning in warnings])


def read_reason(sentence: str, data: str | None) -> str:
    """Return the reason of which `sentence` and `data` were written; rows of older versions have no data."""
    if not sentence:
        return ""
    return Reason.from_json(json.loads(data), sentence) if data else Reason.of(sentence)


def read_warnings(sentences: str, data: str | None) -> tuple[Reason, ...]:
    """Return warnings from their sentences and their data, two JSON lists of the same length."""
    texts = json.loads(sentences)
    values = json.loads(data) if data else [None] * len(texts)
    return tuple(
        Reason.of(text) if value is None else Reason.from_json(value, text)
        for text, value in zip(texts, values, strict=True)
    )


def _reason_value(reason: str) -> Mapping[str, Any] | None:
    reason = Reason.of(reason)
    return None if reason.code == TEXT else reason.to_json()


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
        "warnings_data": warnings_data(answer.warnings),
        "fingerprints": to_json(answer.fingerprints),
    }
    return clean(row)


def prompt_rows(number: int, prompt: str) -> list[Row]:
    return [clean({"answer_number": number, "text": prompt})] if prompt else []


def follow_up_rows(number: int, follow_up: FollowUp | None, follows: int | None) -> list[Row]:
    """`follows` is the number of the answer before, where the log has it."""
    if follow_up is None:
        return []
    row: Row = {"question": follow_up.question, "prompt": follow_up.prompt}
    return [clean({"answer_number": number, **row, "follows": follows})]


def stage_rows(number: int, stages: Sequence[Outcome]) -> list[Row]:
    rows: list[Row] = [
        {
            "answer_number": number,
            "position": position,
            "name": stage.name,
            "status": stage.status,
            "reason": stage.reason,
            "reason_data": reason_data(stage.reason),
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
        "retries": usage.retries,
        "cached": usage.cached,
    }


def call_rows(number: int, stages: Sequence[Outcome]) -> list[Row]:
    rows: list[Row] = [
        {
            "answer_number": number,
            "stage_position": stage_position,
            "position": position,
            "model": exchange.model,
            "messages": to_json(exchange.messages),
            "reply": exchange.reply,
            "error": exchange.error,
            "ms": exchange.ms,
            **_usage_row(exchange.usage),
        }
        for stage_position, stage in enumerate(stages)
        for position, exchange in enumerate(stage.exchanges)
    ]
    return list(map(clean, rows))


def passage_row(chunk: Chunk) -> Row:
    """A passage, still without its address."""
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
    return clean(row)


def with_address(passage: Row) -> Row:
    """A passage's row with its address, the SHA-256 of everything in it."""
    content = [passage[name] for name in _PASSAGE]
    return {**passage, "hash": hashlib.sha256(json.dumps(content).encode()).hexdigest()}


def candidate_rows(number: int, answer: Answer, passages: Sequence[Row]) -> list[Row]:
    """One row a candidate, with the address of its passage; `passages` are their rows, in the same order."""
    cited = {citation.chunk_id for citation in answer.citations}
    return [
        {
            "answer_number": number,
            "position": position,
            "hash": passage["hash"],
            # Where an answerer was given its passages in another order, that order is a stage `prompt`.
            "slot": candidate.ranks.get("prompt", candidate.ranks.get("final")),
            "cited": candidate.id in cited,
        }
        for position, (candidate, passage) in enumerate(zip(answer.candidates, passages, strict=True))
    ]


def neighbour_rows(number: int, passages: Sequence[Row]) -> list[Row]:
    """One row a neighbour, with the address of its passage."""
    return [
        {"answer_number": number, "position": position, "hash": passage["hash"]}
        for position, passage in enumerate(passages)
    ]


def rank_rows(number: int, candidates: Sequence[Candidate]) -> list[Row]:
    """One row for each candidate and stage; numbers of any kind become Python's own.

    A score that is not a number is no score: SQLite would not keep it either.
    """
    return [
        {
            "answer_number": number,
            "position": position,
            "step": step,
            "stage": stage,
            "rank": None if (rank := candidate.ranks.get(stage)) is None else int(rank),
            "score": _number(candidate.scores.get(stage)),
            "evidence_start": None if (span := candidate.evidence.get(stage)) is None else int(span[0]),
            "evidence_end": None if span is None else int(span[1]),
        }
        for position, candidate in enumerate(candidates)
        for step, stage in enumerate({**candidate.ranks, **candidate.scores, **candidate.evidence})
    ]


def _number(score: float | None) -> float | None:
    return None if score is None or math.isnan(score) else float(score)


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
