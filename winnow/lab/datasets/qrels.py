"""Judgements: which document answers which question, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import BadInputError
from winnow.lab.datasets.reading import LineError, lines

_HEADERS = frozenset({"query-id", "query_id", "queryid", "qid", "query", "topic"})

# trec_eval's code counts the documents of every grade up to the highest
_HIGHEST = 1_000


@dataclass(frozen=True, slots=True)
class Qrels:
    """Grades by question and document, in the file's order; a grade above 0 is relevant.

    `pooled` says that the file is TREC's: it may judge documents of a larger collection, and other
    questions. `lines` tells where a pair stands.
    """

    grades: Mapping[str, Mapping[str, int]]
    path: Path = Path()
    pooled: bool = False
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def relevant(self, question: str) -> frozenset[str]:
        """The documents that answer a question."""
        return frozenset(document for document, grade in self.grades.get(question, {}).items() if grade > 0)

    def documents(self) -> dict[str, int]:
        """Every judged document with the first line that judges it."""
        first: dict[str, int] = {}
        for (_, document), line in self.lines.items():
            first.setdefault(document, line)
        return first


def read_qrels(path: Path) -> Qrels:
    """Judgements of a TREC file (`question 0 document grade`) or a TSV (`question document grade`).

    Raises BadInputError for an empty file, a pair judged twice, a grade that is no whole number.
    """
    grades: dict[str, dict[str, int]] = {}
    places: dict[tuple[str, str], int] = {}
    pooled: bool | None = None
    for number, line in lines(path):
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
