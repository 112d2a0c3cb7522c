"""Speed of the log: writing an answer with 50 candidates; list, search and filters over many answers.

    python benchmarks/log.py [--answers 100000] [--candidates 5] [--folder FOLDER]

`--candidates` is for the answers that fill the log; those that are timed have 50. The folder is kept where it
is given, so that a second run need not fill it again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.database import Database
from storage.log.answer_log import AnswerLog
from storage.log.records import AnswerFilter
from storage.log.redaction import Redactor
from storage.log.write import insert_answer, passage_rows
from storage.records import Answer, Candidate, Chunk, Outcome, Usage

_SENTENCE = (
    "why does the rerank stage keep five of fifty candidates when retrieval already sorts them by score and "
    "how much does a cross encoder cost per query compared with late interaction or a listwise language model"
)
ENGLISH = _SENTENCE.split()
CHINESE = (
    "重排序阶段为什么只保留五个候选段落检索已经按分数排好交叉编码器比晚期交互贵多少日志记录每一步的名次和得分"
)
RARE = "zirconium"
STATUSES = ("ok", "ok", "ok", "ok", "repaired", "partial", "fallback")


def an_answer(number: int, candidates: int, chance: random.Random) -> Answer:
    """An answer of usual size, one in a thousand with a rare word."""
    words = chance.choices(ENGLISH, k=12)
    start = chance.randrange(len(CHINESE) - 12)
    rare = RARE if number % 1000 == 7 else ""
    status = chance.choice(STATUSES)
    found = tuple(_candidate(number, place, chance) for place in range(candidates))
    return Answer(
        id=f"{number:08x}{chance.getrandbits(32):08x}",
        question=f"{' '.join(words)} {CHINESE[start : start + 12]} {rare}",
        text=" ".join(chance.choices(ENGLISH, k=60)) + CHINESE,
        collection=f"collection-{number % 7}",
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        rerank=("maxsim", "listwise:5", "cross-encoder:20,listwise:5")[number % 3],
        answerer="extractive",
        top_k_retrieve=50,
        top_k_rerank=5,
        candidates=found,
        stages=(
            Outcome("retrieval", ms=4.0),
            Outcome(
                "maxsim",
                status,
                "" if status == "ok" else "a reason",
                chance.random() * 900,
                Usage(1, 900, 9, 0.001),
            ),
        ),
        timings_ms={"total": chance.random() * 1000},
        prompt=" ".join(chance.choices(ENGLISH, k=400)),
    )


def _candidate(number: int, place: int, chance: random.Random) -> Candidate:
    passage = (number * 31 + place) % 20_000
    chunk = Chunk(
        id=f"chunk-{passage}",
        document_id=f"document-{passage // 20}",
        source=f"docs/{passage // 20}.md",
        title="A document",
        text=f"Passage {passage}. " + " ".join(ENGLISH * 3),
        start=0,
        end=700,
        headings=("Chapter", "Section"),
    )
    candidate = Candidate(chunk)
    for stage in ("dense", "lexical", "retrieval", "maxsim"):
        candidate = candidate.ranked(stage, place + 1, chance.random())
    return candidate.ranked("final", place + 1) if place < 5 else candidate


def fill(database: Database, answers: int, candidates: int) -> None:
    """Write answers, a thousand a transaction."""
    chance, redactor = random.Random(0), Redactor()
    have = AnswerLog(database).count()
    for start in range(have, answers, 1000):
        with database.writing() as connection:
            for number in range(start, min(start + 1000, answers)):
                answer = an_answer(number, candidates, chance)
                insert_answer(connection, answer, passage_rows(answer, redactor), redactor, {})
            connection.commit()


def timed(what: str, run: Callable[[], object], times: int = 20) -> None:
    """Print the median and the worst of some runs, and the CPU's time, which other work does not disturb."""
    run()
    taken, spent = [], []
    for _ in range(times):
        before, busy = time.perf_counter(), time.process_time()
        run()
        taken.append((time.perf_counter() - before) * 1000)
        spent.append((time.process_time() - busy) * 1000)
    p50, cpu = statistics.median(taken), statistics.median(spent)
    print(f"{what:42} p50 {p50:8.2f} ms   worst {max(taken):8.2f} ms   CPU p50 {cpu:8.2f} ms")


def reads(log: AnswerLog, answers: int) -> None:
    late = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=answers - 1000)
    filters = {
        "list": AnswerFilter(),
        "list, one collection": AnswerFilter(collection="collection-3"),
        "list, a collection that is not there": AnswerFilter(collection="none"),
        "list, strategy by part": AnswerFilter(strategy="listwise"),
        "list, fallbacks that were slow": AnswerFilter(status="fallback", min_ms=990),
        "list, slower than anything": AnswerFilter(min_ms=1e9),
        "list, before a date": AnswerFilter(until=datetime(2026, 1, 1, 0, 1, tzinfo=UTC)),
        "list, since a date": AnswerFilter(since=late),
        "list, judged (none is)": AnswerFilter(feedback="judged"),
        "search, a rare word": AnswerFilter(text=RARE),
        "search, a word in every answer": AnswerFilter(text="rerank"),
        "search, two frequent words": AnswerFilter(text="rerank candidates"),
        "search, Chinese of two characters": AnswerFilter(text="日志"),
        "search, Chinese of one character": AnswerFilter(text="志"),
        "search, a Chinese phrase": AnswerFilter(text="重排序阶段为什么只"),
        "search, nothing found": AnswerFilter(text="xylophone 木琴"),
        "search, frequent word in a rare filter": AnswerFilter(text="rerank", min_ms=1e9),
    }
    for what, where in filters.items():
        timed(what, lambda where=where: log.list(20, where))  # type: ignore[misc]
    timed("count, all", log.count)
    timed("stats, all", log.stats)


def writes(log: AnswerLog) -> None:
    chance, now = random.Random(1), time.time_ns()
    known = [an_answer(number, 50, chance) for number in range(120)]
    an_id = log.list(1, AnswerFilter(until=datetime(2026, 1, 2, tzinfo=UTC)))[0].id
    known = [replace(answer, id=f"timed-{now}-{number}") for number, answer in enumerate(known)]
    fresh = [_with_fresh_passages(answer, now) for answer in known]
    queue = iter(known)
    timed("save, 50 candidates, passages known", lambda: log.save(next(queue)), times=100)
    queue = iter(fresh)
    timed("save, 50 candidates, passages new", lambda: log.save(next(queue)), times=100)
    timed("get, 50 candidates", lambda: log.get(fresh[0].id))
    timed("get, by the beginning of its id", lambda: log.get(an_id[:12]))


def _with_fresh_passages(answer: Answer, now: int) -> Answer:
    fresh = tuple(
        replace(candidate, chunk=replace(candidate.chunk, text=f"{answer.id} {candidate.text}"))
        for candidate in answer.candidates
    )
    return replace(answer, id=f"fresh-{now}-{answer.id}", candidates=fresh)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = (options.folder or Path(temporary)) / "log.db"
        with Database.open(path) as database:
            before = time.perf_counter()
            fill(database, options.answers, options.candidates)
            log = AnswerLog(database)
            print(f"{log.count()} answers, filled in {time.perf_counter() - before:.0f} s")
            print(f"{path.stat().st_size / 1e6:.0f} MB")
            reads(log, options.answers)
            writes(log)


if __name__ == "__main__":
    main()
