"""Converts records to rows of the log and back; no database."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from storage.reasons import TEXT, Reason
from storage.records import Answer, Candidate, Chunk, Citation, Exchange, FollowUp, Outcome, Usage, worst

# A row on its way into or out of the database: column name → value.
Row = dict[str, Any]

# Fields that are columns as they are; those of `_NAMES` under another name, those of `_DECODED` as JSON.
_ANSWER = (
    *("id", "collection", "rerank", "answerer", "answered", "top_k_retrieve", "top_k_rerank"),
    *("question", "text", "timings_ms", "fingerprints"),
)
_CHUNK = (
    *("id", "document_id", "source", "title", "text", "start", "end"),
    *("ordinal", "headings", "page", "legible", "metadata"),
)
_CITATION = (
    *("marker", "chunk_id", "document_id", "source", "title", "start", "end"),
    *("headings", "page", "quote"),
)
_EXCHANGE = ("model", "messages", "reply", "error", "ms")
_USAGE = tuple(field.name for field in fields(Usage))

_NAMES = {"start": "start_char", "end": "end_char"}
_PASSAGE_NAMES = {**_NAMES, "id": "chunk_id"}
_DECODED: Mapping[str, Callable[[Any], Any]] = {
    "headings": tuple,
    "messages": lambda messages: tuple(map(tuple, messages)),
    **dict.fromkeys(("metadata", "timings_ms", "fingerprints"), MappingProxyType),
}
# What the address of a passage is made of, in this order.
_ADDRESSED = tuple(_PASSAGE_NAMES.get(name, name) for name in _CHUNK)


def iso(moment: datetime) -> str:
    """Return a time in UTC as text of fixed width, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def legible(text: str) -> str:
    """Replace lone surrogates, which no database takes, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean(row: Row) -> Row:
    """Return a row whose texts every database takes."""
    return {name: legible(value) if isinstance(value, str) else value for name, value in row.items()}


def to_json(value: object) -> str:
    """Return JSON that people can read in the database: Chinese as it is written."""
    plain = dict(value) if isinstance(value, Mapping) else value
    return json.dumps(plain, ensure_ascii=False, default=str)


def _columns(record: object, names: Iterable[str], renamed: Mapping[str, str] = _NAMES) -> Row:
    """Return fields of a record as columns."""
    values = ((name, getattr(record, name)) for name in names)
    return {renamed.get(name, name): to_json(value) if name in _DECODED else value for name, value in values}


def _fields(row: Any, names: Iterable[str], renamed: Mapping[str, str] = _NAMES) -> dict[str, Any]:
    """Return columns as fields of a record: the inverse of `_columns`."""
    values = ((name, getattr(row, renamed.get(name, name))) for name in names)
    return {name: _DECODED[name](json.loads(value)) if name in _DECODED else value for name, value in values}


def _numbered(answer_number: int, rows: Iterable[Row]) -> list[Row]:
    """Return rows with the answer they belong to and their position in it."""
    return [
        clean({"answer_number": answer_number, "position": position, **row})
        for position, row in enumerate(rows)
    ]


def reason_data(reason: str) -> str | None:
    """Return a reason's code and values as JSON; None for plain text, which its sentence says in full."""
    value = _reason_value(reason)
    return None if value is None else to_json(value)


def warnings_data(warnings: Iterable[str]) -> str:
    """Return the codes and values of warnings as a JSON list, null for each that is plain text."""
    return to_json([_reason_value(warning) for warning in warnings])


def _reason_value(reason: str) -> Mapping[str, Any] | None:
    reason = Reason.of(reason)
    return None if reason.code == TEXT else reason.to_json()


def read_reason(sentence: str, data: str | None) -> str:
    """Return the reason that was logged as `sentence` and `data`; rows of older versions have no data."""
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


def total_ms(answer: Answer) -> float:
    """Return the whole time of an answer: its own `total`, or the sum of its stages."""
    total = answer.timings_ms.get("total")
    return sum(stage.ms for stage in answer.stages) if total is None else total


def answer_row(answer: Answer) -> Row:
    row = {
        **_columns(answer, _ANSWER),
        **_columns(answer.usage, _USAGE),
        "created_at": iso(answer.created_at),
        "status": worst(stage.status for stage in answer.stages),
        "ms": total_ms(answer),
        "warnings": to_json(answer.warnings),
        "warnings_data": warnings_data(answer.warnings),
    }
    return clean(row)


def read_answer_row(row: Any) -> dict[str, Any]:
    """Return those fields of an answer that its own row holds."""
    return {
        **_fields(row, _ANSWER),
        "created_at": datetime.fromisoformat(row.created_at),
        "warnings": read_warnings(row.warnings, row.warnings_data),
    }


def prompt_rows(number: int, prompt: str) -> list[Row]:
    return [clean({"answer_number": number, "text": prompt})] if prompt else []


def follow_up_rows(number: int, follow_up: FollowUp | None, follows: int | None) -> list[Row]:
    """`follows` is the number of the answer before, where the log has it."""
    if follow_up is None:
        return []
    row = _columns(follow_up, ("question", "prompt"))
    return [clean({"answer_number": number, **row, "follows": follows})]


def stage_rows(number: int, stages: Sequence[Outcome]) -> list[Row]:
    rows = (
        {
            **_columns(stage, ("name", "status", "reason", "ms")),
            "reason_data": reason_data(stage.reason),
            **_columns(stage.usage, _USAGE),
        }
        for stage in stages
    )
    return _numbered(number, rows)


def read_stage(row: Any, exchanges: Sequence[Exchange]) -> Outcome:
    reason = read_reason(row.reason, row.reason_data)
    return Outcome(row.name, row.status, reason, row.ms, Usage(**_fields(row, _USAGE)), tuple(exchanges))


def call_rows(number: int, stages: Sequence[Outcome]) -> list[Row]:
    return [
        {**row, "stage_position": stage_position}
        for stage_position, stage in enumerate(stages)
        for row in _numbered(
            number,
            (
                {**_columns(exchange, _EXCHANGE), **_columns(exchange.usage, _USAGE)}
                for exchange in stage.exchanges
            ),
        )
    ]


def read_exchange(row: Any) -> Exchange:
    return Exchange(**_fields(row, _EXCHANGE), usage=Usage(**_fields(row, _USAGE)))


def passage_row(chunk: Chunk) -> Row:
    """Return a passage, still without its address."""
    return clean(_columns(chunk, _CHUNK, _PASSAGE_NAMES))


def read_passage(row: Any) -> Chunk:
    return Chunk(**_fields(row, _CHUNK, _PASSAGE_NAMES))


def with_address(passage: Row) -> Row:
    """Return a passage's row with its address, the SHA-256 of everything in it."""
    content = [passage[name] for name in _ADDRESSED]
    return {**passage, "hash": hashlib.sha256(json.dumps(content).encode()).hexdigest()}


def candidate_rows(number: int, answer: Answer, passages: Sequence[Row]) -> list[Row]:
    """Return one row a candidate, with the address of its passage; `passages` are in the same order."""
    cited = {citation.chunk_id for citation in answer.citations}
    rows = (
        {
            "hash": passage["hash"],
            # Where an answerer was given its passages in another order, that order is a stage `prompt`.
            "slot": candidate.ranks.get("prompt", candidate.ranks.get("final")),
            "cited": candidate.id in cited,
        }
        for candidate, passage in zip(answer.candidates, passages, strict=True)
    )
    return _numbered(number, rows)


def neighbour_rows(number: int, passages: Sequence[Row]) -> list[Row]:
    """Return one row a neighbour, with the address of its passage."""
    return _numbered(number, ({"hash": passage["hash"]} for passage in passages))


def rank_rows(number: int, candidates: Sequence[Candidate]) -> list[Row]:
    """Return one row for each candidate and stage; numbers of any kind become Python's own.

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
    return _numbered(number, (_columns(citation, _CITATION) for citation in citations))


def read_citation(row: Any) -> Citation:
    return Citation(**_fields(row, _CITATION))
