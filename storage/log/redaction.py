"""Taking private text out of the log: what matches a pattern is replaced wherever people's words are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.errors import SettingsError
from storage.log.rows import Row, to_json
from storage.log.tables import (
    AnswerRow,
    CallRow,
    CitationRow,
    FeedbackRow,
    FollowUpRow,
    PassageRow,
    PromptRow,
    StageRow,
)
from storage.tables import Base

MARK = "[redacted]"

# Columns of plain text, and columns of JSON, that may hold people's words. Ids, hashes and names do not.
COLUMNS: Mapping[type[Base], tuple[tuple[str, ...], tuple[str, ...]]] = {
    AnswerRow: (("question", "text"), ("warnings",)),
    PromptRow: (("text",), ()),
    FollowUpRow: (("question", "prompt"), ()),
    StageRow: (("reason",), ()),
    CallRow: (("reply", "error"), ("messages",)),
    CitationRow: (("source", "title", "quote"), ("headings",)),
    PassageRow: (("source", "title", "text"), ("headings", "metadata")),
    FeedbackRow: (("note",), ()),
}


@dataclass(frozen=True, slots=True)
class Redactor:
    """Regular expressions (Python's), and what they do to a row."""

    patterns: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, patterns: Sequence[str]) -> Redactor:
        """Raises SettingsError where a pattern is not valid or matches everything."""
        return cls(tuple(map(_compiled, patterns)))

    def row(self, table: type[Base], row: Row) -> Row:
        """The row with every match replaced; the same row where there is none."""
        if not self.patterns or table not in COLUMNS:
            return row
        texts, documents = COLUMNS[table]
        changed = {name: self._text(row[name]) for name in texts}
        changed |= {name: to_json(self._value(json.loads(row[name]))) for name in documents}
        return {**row, **changed}

    def _text(self, text: str) -> str:
        for pattern in self.patterns:
            text = pattern.sub(MARK, text)
        return text

    def _value(self, value: object) -> object:
        match value:
            case str():
                return self._text(value)
            case list():
                return [self._value(item) for item in value]
            case dict():
                return {name: self._value(item) for name, item in value.items()}
        return value


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"the pattern {pattern!r} is not a regular expression: {error}",
            way_out="see Python's `re` module",
        ) from error
    if compiled.match(""):
        raise SettingsError(
            f"the pattern {pattern!r} matches nothing at all, and so everything",
            way_out="ask for at least one character",
        )
    return compiled
