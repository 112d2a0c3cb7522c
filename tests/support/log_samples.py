"""Databases and answers for tests of the log: one answer that uses every field, and plain ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import create_engine, text

from storage.database import Database
from storage.records import Answer, Candidate, Chunk, Citation, Exchange, FollowUp, Outcome, Usage

# The contract of the log holds for every kind of database that is named here.
DATABASES = ["sqlite", *filter(None, [os.environ.get("WINNOW_TEST_DATABASE_URL")])]

NOON = datetime(2026, 3, 14, 12, 0, 0, 123, tzinfo=UTC)


@contextmanager
def a_database(kind: str, folder: Path) -> Iterator[Database]:
    """Yield a fresh database of that kind; one given by URL is emptied first."""
    if kind != "sqlite":
        engine = create_engine(kind)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        engine.dispose()
    with Database.open(folder / "log.db" if kind == "sqlite" else kind) as database:
        yield database


def a_chunk(number: int, text: str = "") -> Chunk:
    return Chunk(
        id=f"chunk-{number}",
        document_id=f"document-{number % 7}",
        source=f"docs/{number % 7} 重排序.md",
        title="Rerank 重排序",
        text=text or f"第 {number} 段：精排把五十个候选缩到五个。Passage {number} 🙂",
        start=number * 10,
        end=number * 10 + 9,
        ordinal=number,
        headings=("第一章", "Why rerank"),
        page=None if number % 2 else number,
        legible=number % 3 != 0,
        metadata=MappingProxyType(
            {"language": "zh", "stars": 5, "ratio": 0.25, "draft": False, "owner": None}
        ),
    )


def a_candidate(position: int, *, final: bool) -> Candidate:
    """Return a candidate that the lexical leg saw only at odd positions; unseen stages have no entry."""
    candidate = Candidate(a_chunk(position))
    if position % 2 == 0:
        candidate = candidate.ranked("dense", position + 1, 1 / (position + 1))
    candidate = candidate.ranked("lexical", 50 - position).ranked("retrieval", position + 1, 0.016)
    candidate = candidate.ranked("listwise", position + 1).ranked("listwise#2", position + 1, -3.5)
    candidate = replace(candidate, evidence=MappingProxyType({"listwise": (position, position + 20)}))
    return candidate.ranked("final", position + 1) if final else candidate


def a_citation(marker: int) -> Citation:
    chunk = a_chunk(marker - 1)
    return Citation(
        marker=marker,
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        source=chunk.source,
        title=chunk.title,
        start=chunk.start,
        end=chunk.end,
        headings=chunk.headings,
        page=chunk.page,
        quote="精排把五十个候选缩到五个。",
    )


EXCHANGES = (
    Exchange(
        "gpt-4o-mini",
        (("system", "你给段落排序。"), ("user", '[1] "passage"\n[2] 段落')),
        "[2] > [1]",
        Usage(1, 1500, 30, 0.00625, 1),
        450.5,
    ),
    Exchange("gpt-4o-mini", (("user", "again"),), "", Usage(1), 9.5, "429: too many requests"),
)


def a_full_answer(id: str = "0198a-full", *, candidates: int = 50) -> Answer:  # noqa: A002
    """An answer in which every field differs from its default."""
    return Answer(
        id=id,
        question="为什么需要重排序？ Why rerank?\nline two\ttab",
        text="精排把五十个候选缩到五个 [1]。",
        collection="知识库",
        created_at=NOON,
        rerank="listwise:20,listwise:5",
        answerer="gpt-4o-mini",
        top_k_retrieve=50,
        top_k_rerank=5,
        answered=False,
        citations=(a_citation(1), a_citation(3)),
        candidates=tuple(a_candidate(position, final=position < 5) for position in range(candidates)),
        stages=(
            Outcome("retrieval", "partial", "问题不可读: the lexical leg alone", 12.5),
            Outcome(
                "listwise",
                "repaired",
                "two numbers were missing",
                900.25,
                Usage(2, 3000, 60, 0.0125, 1, 4),
                EXCHANGES,
            ),
            Outcome("listwise#2", "ok", "", 450.0, Usage(1, 900, 20, None)),
        ),
        timings_ms={"retrieval": 12.5, "listwise": 900.25, "listwise#2": 450.0, "total": 1370.75},
        warnings=("the log was slow", "警告"),
        prompt="Passages:\n[1] …\n问题：为什么？",
        fingerprints={"settings": "ab12", "prompt": "cd34", "collection": "ef56"},
        neighbours=(a_chunk(1), a_chunk(0)),  # retrieved themselves, too
        follow_up=FollowUp("为什么精排需要重排序？", "Q: 什么是精排？\n最后一个问题：为什么？"),
    )


def a_plain_answer(number: int = 0, *, minutes: int = 0, **fields: object) -> Answer:
    """A small answer; `fields` replace its own."""
    values: dict[str, object] = {
        "id": f"answer-{number:06d}",
        "question": f"question {number}",
        "text": f"answer {number}",
        "collection": "default",
        "created_at": NOON + timedelta(minutes=minutes),
        "rerank": "maxsim",
        "answerer": "extractive",
        "top_k_retrieve": 50,
        "top_k_rerank": 5,
        "candidates": (a_candidate(0, final=True), a_candidate(1, final=False)),
        "stages": (Outcome("retrieval", ms=2.0), Outcome("maxsim", ms=3.0)),
    }
    return Answer(**{**values, **fields})  # type: ignore[arg-type]
