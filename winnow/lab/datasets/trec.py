"""TREC's formats: judgements (qrels) and runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rerank.training.records import numbered_lines
from storage.errors import BadInputError
from winnow.lab.datasets.reading import LineError, file_digest

_HEADERS = frozenset({"query-id", "query_id", "queryid", "qid", "query", "topic"})

# trec_eval's code counts the documents of every grade up to the highest
_HIGHEST = 1_000


@dataclass(frozen=True, slots=True)
class Qrels:
    """Grades by question and document, in the file's order; a grade above 0 is relevant.

    `pooled`: a TREC file, which may judge documents of a larger collection and other questions. `lines` has
    the line of each pair.
    """

    grades: Mapping[str, Mapping[str, int]]
    path: Path = Path()
    pooled: bool = False
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def relevant(self, question: str) -> frozenset[str]:
        """The documents that answer a question."""
        return frozenset(document for document, grade in self.grades.get(question, {}).items() if grade > 0)

    def documents(self) -> dict[str, int]:
        """All judged documents with the first line that judges them."""
        first: dict[str, int] = {}
        for (_, document), line in self.lines.items():
            first.setdefault(document, line)
        return first


def read_qrels(path: Path) -> Qrels:
    """Judgements of a TREC file (`question 0 document grade`) or a TSV (`question document grade`).

    Raises BadInputError for an empty file, a pair judged twice, a grade that is not a whole number.
    """
    grades: dict[str, dict[str, int]] = {}
    places: dict[tuple[str, str], int] = {}
    pooled: bool | None = None
    for number, line in numbered_lines(path):
        fields = _fields(line)
        if number == 1 and len(fields) == 3 and fields[0].lower() in _HEADERS and not _is_grade(fields[2]):
            continue
        if len(fields) not in (3, 4) or pooled not in (None, len(fields) == 4):
            raise LineError(path, number, _shape(len(fields), pooled))
        pooled = len(fields) == 4
        question, document, grade = fields[0], fields[-2], fields[-1]
        if not _is_grade(grade):
            raise LineError(path, number, f"the grade {grade!r} is not a whole number")
        if abs(int(grade)) > _HIGHEST:
            raise LineError(path, number, f"the grade {grade} is beyond {_HIGHEST}")
        if (question, document) in places:
            first = places[question, document]
            raise LineError(
                path, number, f"{question!r} and {document!r} were judged in line {first} already"
            )
        places[question, document] = number
        grades.setdefault(question, {})[document] = int(grade)
    if not grades:
        raise BadInputError(f"{path} holds no judgement")
    return Qrels(grades, path, bool(pooled), places)


@dataclass(frozen=True, slots=True)
class TrecRun:
    """Documents and scores by question, best first. `digest` is the SHA-256 of the file."""

    candidates: Mapping[str, tuple[tuple[str, float], ...]]
    path: Path = Path()
    digest: str = ""

    def documents(self) -> set[str]:
        """Every document that is a candidate of some question."""
        return {document for ranked in self.candidates.values() for document, _ in ranked}


def read_run(path: Path) -> TrecRun:
    """A run of lines `question Q0 document rank score tag`.

    As trec_eval does, the order is that of the scores, ties by document id backwards; the column `rank` is
    not read. Raises BadInputError for an empty run, a document given twice, a score that is not a number.
    """
    found: dict[str, dict[str, float]] = {}
    for number, line in numbered_lines(path):
        fields = line.split()
        if len(fields) != 6:
            raise LineError(
                path, number, f"{len(fields)} columns; a run has 6: question Q0 document rank score tag"
            )
        question, document = fields[0], fields[2]
        ranked = found.setdefault(question, {})
        if document in ranked:
            raise LineError(path, number, f"the document {document!r} is a candidate of {question!r} already")
        ranked[document] = _score(path, number, fields[4])
    if not found:
        raise BadInputError(f"the run {path} is empty")
    candidates = {question: _best_first(ranked) for question, ranked in found.items()}
    return TrecRun(candidates, path, file_digest(path))


def _fields(line: str) -> list[str]:
    tabbed = [part.strip() for part in line.split("\t")]
    return tabbed if len(tabbed) in (3, 4) else line.split()


def _is_grade(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _shape(found: int, pooled: bool | None) -> str:
    expected = {
        None: "3 (TSV) or 4 (TREC)",
        True: "4, as in the lines before",
        False: "3, as in the lines before",
    }
    return f"{found} columns; expected {expected[pooled]}"


def _score(path: Path, line: int, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise LineError(path, line, f"the score {text!r} is not a number")
    return score


def _best_first(ranked: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    by_id = sorted(ranked.items(), reverse=True)
    return tuple(sorted(by_id, key=lambda pair: -pair[1]))
