"""Takes private text out of the log: replaces what matches a pattern wherever people's words are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.errors import SettingsError
from storage.log import tables
from storage.log.rows import Row, to_json
from storage.reasons import LANGUAGES, Reason
from storage.tables import TableBase

MARK = "[redacted]"


@dataclass(frozen=True, slots=True)
class PrivateColumns:
    """The columns of a table that may hold people's words: plain text, JSON, and JSON of reasons."""

    texts: tuple[str, ...]
    documents: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


# Ids, hashes and names hold no words of people.
COLUMNS: Mapping[type[TableBase], PrivateColumns] = {
    tables.AnswerRow: PrivateColumns(("question", "text"), ("warnings",), ("warnings_data",)),
    tables.PromptRow: PrivateColumns(("text",)),
    tables.FollowUpRow: PrivateColumns(("question", "prompt")),
    tables.ThreadRow: PrivateColumns(("name",)),
    tables.StageRow: PrivateColumns(("reason",), (), ("reason_data",)),
    tables.CallRow: PrivateColumns(("reply", "error"), ("messages",)),
    tables.CitationRow: PrivateColumns(("source", "title", "quote"), ("headings",)),
    tables.PassageRow: PrivateColumns(("source", "title", "text", "about"), ("headings", "metadata")),
    tables.FeedbackRow: PrivateColumns(("note",)),
}


@dataclass(frozen=True, slots=True)
class Redactor:
    """Regular expressions (Python's) that redact rows."""

    patterns: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, patterns: Sequence[str]) -> Redactor:
        """Raises SettingsError where a pattern is not valid or matches everything."""
        return cls(tuple(map(_compiled, patterns)))

    def row(self, table: type[TableBase], row: Row) -> Row:
        """Return the row with every match replaced; the same row where there is none."""
        if not self.patterns or table not in COLUMNS:
            return row
        columns = COLUMNS[table]
        changed: Row = {name: self._text(row[name]) for name in columns.texts}
        changed |= {name: to_json(self._value(json.loads(row[name]))) for name in columns.documents}
        changed |= {name: self._reasons(row[name]) for name in columns.reasons}
        return {**row, **changed}

    def _reasons(self, data: str | None) -> str | None:
        """Redact the JSON of one reason or of a list; None where the sentence alone may stay."""
        if data is None:
            return None
        value = json.loads(data)
        kept = list(map(self._reason, value)) if isinstance(value, list) else self._reason(value)
        return None if kept is None else to_json(kept)

    def _reason(self, data: Mapping[str, Any] | None) -> object:
        """Redact the texts among a reason's values; None where a match remains.

        A match may span words of the catalogue and a value, or lie in a number.
        """
        if data is None:
            return None
        redacted = self._reason_value(data)
        reason = Reason.from_json(redacted)
        shown = [to_json(redacted["values"]), *(reason.render(language) for language in LANGUAGES)]
        return None if any(pattern.search(text) for text in shown for pattern in self.patterns) else redacted

    def _reason_value(self, value: Any) -> Any:
        match value:
            case {"code": code, "values": dict(values)}:  # a reason, perhaps within another
                return {
                    "code": code,
                    "values": {name: self._reason_value(item) for name, item in values.items()},
                }
            case list():
                return [self._reason_value(item) for item in value]
        return self._value(value)

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
