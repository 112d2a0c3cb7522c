"""The filter form over the log: its fields, and the answers that they select."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from pydantic import ValidationError

from storage.errors import BadInputError
from storage.log.records import EVERY, AnswerFilter
from winnow.server.api.schemas import AnswerQuery

# The API's limits and types hold for the form, too.
FIELDS: Sequence[str] = tuple(AnswerQuery.model_fields)
_MOMENTS = ("since", "until")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """`typed` has the fields that are not empty. Where `wrong` names one, the filter selects every answer."""

    typed: Mapping[str, str]
    where: AnswerFilter = EVERY
    wrong: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> LogFilter:
        """Read a query string or a form; empty fields are ignored."""
        typed = {name: query[name].strip() for name in FIELDS if query.get(name, "").strip()}
        try:
            given = {name: _moment(name, value) for name, value in typed.items()}
            where = AnswerQuery.model_validate(given).where()
        except ValidationError as error:
            return cls(typed, wrong=str(error.errors()[0]["loc"][0]))
        except BadInputError:  # a date beyond the calendar
            return cls(typed, wrong=next(name for name in _MOMENTS if name in typed))
        return cls(typed, where)

    @property
    def narrowed(self) -> bool:
        """Tell whether a field other than the text is set."""
        return bool(self.typed.keys() - {"text"})

    def value(self, name: str) -> str:
        """Return the text of a field."""
        return self.typed.get(name, "")

    def link(self, path: str, **more: object) -> str:
        """Return an address that selects the same answers."""
        query = urlencode({**self.typed, **more})
        return f"{path}?{query}" if query else path


def _moment(name: str, value: str) -> str:
    """Read a date in the server's time zone, in which the pages show times."""
    if name in _MOMENTS:
        try:
            return datetime.fromisoformat(value).astimezone().isoformat()
        except (ValueError, OverflowError):
            return value
    return value
