"""The questions that come with the examples: their answers stand in the documents they name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ingest.loaders.base import Source
from ingest.loaders.registry import load
from winnow.lab.datasets.matching import contains

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = (EXAMPLES / "questions.jsonl", EXAMPLES / "handbook" / "questions.jsonl")
ASKED = [
    (path.parent, json.loads(line)) for path in FILES for line in path.read_text("utf-8").split("\n") if line
]


@pytest.mark.parametrize(
    ("folder", "question"),
    [pytest.param(folder, one, id=one["text"]) for folder, one in ASKED if one["kind"] == "answerable"],
)
def test_every_answer_stands_in_its_document(folder: Path, question: dict[str, object]) -> None:
    """Every accepted answer occurs there, word for word."""
    path = folder / str(question["document"])
    text = load(Source(path.name, path.read_bytes())).text
    answers = question["answers"]
    assert isinstance(answers, list)
    assert all(contains(text, [answer]) for answer in answers)


def test_a_quarter_is_near_and_a_fifth_has_no_answer() -> None:
    """Both languages have at least sixty questions, of each kind enough to measure."""
    kinds = Counter((question["lang"], question["kind"]) for _, question in ASKED)
    for lang in ("en", "zh"):
        of = sum(count for (own, _), count in kinds.items() if own == lang)
        assert of >= 60
        assert kinds[lang, "near"] + kinds[lang, "unanswerable"] >= 0.4 * of
    assert len({(folder, question["id"]) for folder, question in ASKED}) == len(ASKED)
