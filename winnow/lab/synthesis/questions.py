"""Questions from files: JSON Lines or plain text, one a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rerank.training.duplicates import Duplicates
from storage.errors import BadInputError
from winnow.lab.datasets.reading import lines, records, text_field

_FIELDS = ("text", "query", "question")


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question; `id` is empty where its file gives none."""

    text: str
    id: str = ""


def read_questions(path: Path) -> tuple[list[AskedQuestion], int]:
    """The questions of a file without (near) duplicates, and how many of those there were.

    `.jsonl` lines have `text`, `query` or `question`, and maybe `id` or `_id`; any other file one question a
    line. Raises BadInputError, which names the line.
    """
    structured = {".jsonl", ".json"} & set(path.suffixes)
    every = _structured(path) if structured else [AskedQuestion(line.strip()) for _, line in lines(path)]
    known = Duplicates()
    fresh = [question for question in every if not known.seen(question.text)]
    if not fresh:
        raise BadInputError(f"{path} holds no question")
    return fresh, len(every) - len(fresh)


def _structured(path: Path) -> list[AskedQuestion]:
    found = []
    for number, record in records(path):
        name = text_field(path, number, record, "id", "_id") if {"id", "_id"} & record.keys() else ""
        text = text_field(path, number, record, *(field for field in _FIELDS if field in record), _FIELDS[0])
        if text.strip():
            found.append(AskedQuestion(text, name))
    return found
