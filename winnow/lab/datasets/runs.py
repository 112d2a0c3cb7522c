"""A run: somebody's candidates for every question, in TREC's format."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.errors import BadInputError
from winnow.lab.datasets.reading import LineError, lines


@dataclass(frozen=True, slots=True)
class Run:
    """Documents and scores by question, best first. `digest` is the SHA-256 of the file."""

    candidates: Mapping[str, tuple[tuple[str, float], ...]]
    path: Path = Path()
    digest: str = ""

    def documents(self) -> set[str]:
        """Every document that is a candidate of some question."""
        return {document for ranked in self.candidates.values() for document, _ in ranked}


def read_run(path: Path) -> Run:
    """A run of lines `question Q0 document rank score tag`.

    As trec_eval does, the order is that of the scores, ties by document id backwards; the column `rank` is
    not read. Raises BadInputError for an empty run, a document given twice, a score that is no number.
    """
    found: dict[str, dict[str, float]] = {}
    for number, line in lines(path):
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
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Run({question: _best_first(ranked) for question, ranked in found.items()}, path, digest)


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
