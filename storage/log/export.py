"""Exports the log: JSON lines, CSV, and BEIR (a test collection from judged answers)."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from storage.errors import BadInputError
from storage.log.records import AnswerSummary, Feedback
from storage.log.rows import to_json
from storage.private_files import private
from storage.records import Answer

Entry = tuple[Answer, Feedback, AnswerSummary]
# An entry as a JSON object.
Shape = Callable[[Answer, Feedback, AnswerSummary], Mapping[str, object]]

# The columns of a CSV file.
_CSV = (
    *("id", "created_at", "question", "answer", "answered", "collection", "rerank", "answerer", "status"),
    *(
        "ms",
        "calls",
        "prompt_tokens",
        "completion_tokens",
        "cost",
        "feedback",
        "judged",
        "replay_of",
        "cited",
    ),
)
# A cell that begins so is a formula to a spreadsheet (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_jsonl(entries: Iterable[Entry], target: Path, shape: Shape) -> int:
    """Write one object per line, as `shape` makes it; return how many were written."""
    count = 0
    with _written(target) as file:
        for entry in entries:
            file.write(json.dumps(shape(*entry), ensure_ascii=False) + "\n")
            count += 1
    return count


def write_csv(entries: Iterable[Entry], target: Path) -> int:
    """Write one row per answer, for spreadsheets; return how many were written."""
    count = 0
    with _written(target, encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, _CSV, extrasaction="ignore")
        writer.writeheader()
        for answer, _, summary in entries:
            writer.writerow(_csv_row(answer, summary))
            count += 1
    return count


def _csv_row(answer: Answer, summary: AnswerSummary) -> dict[str, object]:
    values = {
        **asdict(summary),
        **asdict(answer.usage),
        "created_at": answer.created_at.isoformat(),
        "answer": answer.text,
        "cited": "; ".join(dict.fromkeys(one.source for one in answer.citations)),
    }
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
        for name, value in values.items()
    }


def write_beir(entries: Iterable[Entry], folder: Path) -> int:
    """Write answers with grades as a test collection in BEIR's layout; return how many questions it has.

    Every candidate of a judged answer is in the corpus. The same question asked twice is one query; of two
    grades for the same passage, that of the first entry holds.
    """
    corpus: dict[str, dict[str, str]] = {}
    queries: dict[str, str] = {}
    grades: dict[tuple[str, str], int] = {}
    for answer, feedback, _ in entries:
        if not feedback.grades:
            continue
        query = queries.setdefault(answer.understood, answer.id)
        for place, candidate in enumerate(answer.candidates, start=1):
            title = candidate.chunk.context
            corpus.setdefault(candidate.id, {"_id": candidate.id, "title": title, "text": candidate.text})
            if place in feedback.grades:
                grades.setdefault((query, candidate.id), feedback.grades[place])
    asked = ({"_id": id_, "text": question} for question, id_ in queries.items())
    _write_lines(folder / "corpus.jsonl", map(to_json, corpus.values()))
    _write_lines(folder / "queries.jsonl", map(to_json, asked))
    judged = (f"{query}\t{passage}\t{grade}" for (query, passage), grade in grades.items())
    _write_lines(folder / "qrels" / "test.tsv", ("query-id\tcorpus-id\tscore", *judged))
    return len(queries)


def _write_lines(target: Path, lines: Iterable[str]) -> None:
    with _written(target) as file:
        file.writelines(f"{line}\n" for line in lines)


@contextmanager
def _written(target: Path, *, encoding: str = "utf-8", newline: str | None = "\n") -> Iterator[IO[str]]:
    """Open a file that appears under its name only once it is complete."""
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "w", encoding=encoding, newline=newline, opener=private) as file:
            try:
                yield file
            except BaseException:
                part.unlink()
                raise
        part.replace(target)
    except OSError as error:
        raise BadInputError(
            f"{target} cannot be written: {error.strerror or error}",
            way_out="name a file in a folder of yours",
        ) from error
