"""What `--json` prints, and what the HTTP API answers: plain JSON values for winnow's records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from storage.errors import WinnowError
from storage.log.records import AnswerSummary
from storage.records import AROUND_RERANK, Answer, Candidate, Chunk, Citation, Exchange, Outcome, Usage
from winnow.app.stages import SearchResult

if TYPE_CHECKING:
    from rerank.texts import RankedTexts
    from storage.manifest.manifest import DocumentRow
    from winnow.app.replay import Replay
    from winnow.lab.comparing import SpecRow

Json = dict[str, Any]

# Every candidate names these ranks, null where the stage did not see it; each rerank stage adds its own.
_RETRIEVAL_RANKS = ("dense", "lexical", "retrieval")


def answer(value: Answer, *, exchanges: bool = False) -> Json:
    """An answer, whole; each stage's calls of a chat model, where they were kept, on request."""
    return {
        "id": value.id,
        "question": value.question,
        "follow_up": value.follow_up and asdict(value.follow_up),
        "answer": value.text,
        "answered": value.answered,
        "answerer": value.answerer,
        "collection": value.collection,
        "created_at": value.created_at.isoformat(),
        "rerank": value.rerank,
        "top_k_retrieve": value.top_k_retrieve,
        "top_k_rerank": value.top_k_rerank,
        "citations": [citation(item) for item in value.citations],
        "candidates": candidates(value.candidates, value.stages),
        "neighbours": [passage(item) for item in value.neighbours],
        "stages": [stage(item, exchanges=exchanges) for item in value.stages],
        "timings_ms": dict(value.timings_ms),
        "usage": usage(value.usage),
        "warnings": list(value.warnings),
        "prompt": value.prompt,
        "fingerprints": dict(value.fingerprints),
    }


def summary(value: AnswerSummary) -> Json:
    """One answer in a list."""
    return {**asdict(value), "created_at": value.created_at.isoformat()}


def ranked_texts(value: RankedTexts) -> Json:
    """What reranking texts without a store gives."""
    return {
        "results": [asdict(result) for result in value.results],
        "stages": [stage(outcome) for outcome in value.outcomes],
    }


def replay(value: Replay) -> Json:
    """A replay beside its original."""
    return {
        "original": answer(value.original),
        "replay": answer(value.answer),
        "recomputed": dict(value.recomputed),
        "overlap": value.overlap,
        "rbo": value.rbo,
    }


def spec_row(value: SpecRow) -> Json:
    """How a rerank spec did over many logged answers."""
    return asdict(value)


def document(value: DocumentRow) -> Json:
    """A document of a collection."""
    return {
        "id": value.id,
        "path": value.source,
        "status": value.status,
        "reason": value.reason,
        "title": value.title,
        "mime": value.mime,
        "content_hash": value.content_hash,
        "duplicate_of": value.duplicate_of,
        "warnings": list(value.warnings),
        "chunks": list(value.chunk_ids),
    }


def search_result(value: SearchResult) -> Json:
    """The candidates of a search and how its stages went."""
    return {
        "question": value.question,
        "collection": value.collection,
        "candidates": candidates(value.candidates, value.stages),
        "passages": [
            {"chunk_id": one.id, "start": one.chunk.start, "end": one.chunk.end, "text": one.text}
            for one in value.passages
        ],
        "neighbours": [passage(item) for item in value.neighbours],
        "stages": [stage(item) for item in value.stages],
        "warnings": list(value.warnings),
    }


def candidates(values: Sequence[Candidate], stages: Sequence[Outcome]) -> list[Json]:
    """Candidates with every stage's rank and score: null where a stage did not see them."""
    reranks = [outcome.name for outcome in stages if outcome.name not in AROUND_RERANK]
    scored = [*_RETRIEVAL_RANKS, *reranks]
    return [
        {
            **passage(value.chunk),
            "ranks": _named(value.ranks, [*scored, "final"]),
            "scores": _named(value.scores, scored),
        }
        for value in values
    ]


def passage(value: Chunk) -> Json:
    """A passage of a document."""
    return {
        "chunk_id": value.id,
        "document": value.source,
        "document_id": value.document_id,
        "title": value.title,
        "headings": list(value.headings),
        "page": value.page,
        "start": value.start,
        "end": value.end,
        "legible": value.legible,
        "text": value.text,
        "metadata": dict(value.metadata),
    }


def citation(value: Citation) -> Json:
    """Where a marker points."""
    return {
        "marker": value.marker,
        "chunk_id": value.chunk_id,
        "document": value.source,
        "document_id": value.document_id,
        "title": value.title,
        "page": value.page,
        "headings": list(value.headings),
        "start": value.start,
        "end": value.end,
        "quote": value.quote,
    }


def stage(value: Outcome, *, exchanges: bool = False) -> Json:
    """How a stage went."""
    return {
        **({"exchanges": [exchange(item) for item in value.exchanges]} if exchanges else {}),
        "name": value.name,
        "status": value.status,
        "reason": value.reason,
        "calls": value.usage.calls,
        "ms": round(value.ms, 3),
        "prompt_tokens": value.usage.prompt_tokens,
        "completion_tokens": value.usage.completion_tokens,
        "cost": value.usage.cost,
    }


def exchange(value: Exchange) -> Json:
    """One call of a chat model that was kept."""
    return {
        "model": value.model,
        "messages": [{"role": role, "content": content} for role, content in value.messages],
        "reply": value.reply,
        "error": value.error,
        "ms": round(value.ms, 3),
        "usage": usage(value.usage),
    }


def usage(value: Usage) -> Json:
    """What was spent."""
    return {
        "calls": value.calls,
        "prompt_tokens": value.prompt_tokens,
        "completion_tokens": value.completion_tokens,
        "cost": value.cost,
    }


def error(value: WinnowError) -> Json:
    """An error under `--json`."""
    return {"error": {"code": value.code, "message": str(value), "way_out": value.way_out}}


def _named(values: Mapping[str, Any], names: Sequence[str]) -> Json:
    # a stage that a user's own part added under a name of its own is kept as well
    return {**{name: values.get(name) for name in names}, **values}
