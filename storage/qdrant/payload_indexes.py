"""Indexes over fields of the payload, which make filters on them quick.

Without one a filter reads the payload of every passage: 10 ms for 1,000 of them. Our own fields are
indexed when a collection is made, metadata when a key first appears.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Self

from storage.errors import BadInputError
from storage.qdrant.conditions import (
    FIELDS,
    METADATA,
    UNREACHABLE,
    Absent,
    All,
    Among,
    AnyOf,
    Condition,
    Equals,
    Not,
    Ordered,
    fields_of,
    payload_key,
)
from storage.records import Meta
from storage.vectors import Point

# `number` is an index over floats, which holds integers too; one over integers would lose 2020.5.
IndexKind = Literal["keyword", "number", "flag", "date"]

OWN: Mapping[str, IndexKind] = {"document_id": "keyword", "source": "keyword", "page": "number"}

# An index costs memory a passage. Keys beyond these are filtered without, slower and just as right.
MOST = 32

DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?")


_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?")
_NAMES: Mapping[IndexKind, str] = {
    "keyword": "text",
    "number": "number",
    "flag": "true or false",
    "date": "date",
}
# An engine asked for dates in an index of numbers compares numbers, and the other way round.
_RIVALS = frozenset({"number", "date"})
_NEVER = All((Absent("document_id"), Not(Absent("document_id"))))


class Indexed:
    """The paths of a collection that have an index, and the kind of each."""

    def __init__(self, kinds: Mapping[str, IndexKind]) -> None:
        self._kinds = {_bare(path): kind for path, kind in kinds.items()}

    @classmethod
    def of(cls, info: Any, schemas: Mapping[IndexKind, Any]) -> Self:
        """Read the indexes from what an engine reports; `schemas` are its names of our kinds."""
        kinds = {schema: kind for kind, schema in schemas.items()}
        found = ((path, kinds.get(index.data_type)) for path, index in info.payload_schema.items())
        return cls({path: kind for path, kind in found if kind is not None})

    def missing(self, points: Iterable[Point]) -> dict[str, IndexKind]:
        """Return the indexes to make before these points are stored, as path and kind.

        The first value of a key decides. Where numbers and dates meet under one key an index of keywords
        takes the place: it serves neither, and so misleads neither.
        """
        found: dict[str, IndexKind] = {}
        for point in points:
            for key, value in point.chunk.metadata.items():
                if value is None or not UNREACHABLE.isdisjoint(key):
                    continue
                path, kind = payload_key(f"{METADATA}.{key}"), _kind(value)
                known = found.get(path) or self._kinds.get(_bare(path))
                if known is None and len(self._kinds) + len(found) < MOST + len(OWN):
                    found[path] = kind
                elif known != kind and {known, kind} == _RIVALS:
                    found[path] = "keyword"
        return found

    def add(self, path: str, kind: IndexKind) -> None:
        """Note that the path now has an index of this kind."""
        self._kinds[_bare(path)] = kind

    @property
    def fields(self) -> dict[str, IndexKind]:
        """The metadata that passages of the collection have, with the kind of its values."""
        own = f"{METADATA}."
        return {path.removeprefix(own): kind for path, kind in self._kinds.items() if path.startswith(own)}

    @property
    def whole(self) -> bool:
        """Whether `fields` are all that there are; with more kinds of metadata than indexes they are not."""
        return len(self._kinds) < MOST

    def check(self, condition: Condition) -> None:
        """Raise BadInputError where a condition names a field that no passage has.

        Where a collection has more kinds of metadata than indexes, nothing is known of the others.
        """
        known = self.fields
        if not known or not self.whole:
            return
        for field in fields_of(condition):
            name = field.removeprefix(f"{METADATA}.")
            if field not in FIELDS and _bare(name) not in known:
                listed = ", ".join(f"{name} ({_NAMES[kind]})" for name, kind in sorted(known.items()))
                raise BadInputError(
                    f"no passage of the collection has the field {name!r}",
                    way_out=f"There are: {listed}; and of every passage: {', '.join(FIELDS)}.",
                )

    def fitted(self, condition: Condition) -> Condition:
        """Return the condition made safe from indexes of the other kind: one of numbers holds no date.

        A number in quotes also finds that number.
        """
        match condition:
            case All(parts):
                return All(tuple(self.fitted(part) for part in parts))
            case AnyOf(parts):
                return AnyOf(tuple(self.fitted(part) for part in parts))
            case Not(part):
                return Not(self.fitted(part))
            case Ordered(field, _, bound):
                rival = "number" if isinstance(bound, datetime) else "date"
                return _NEVER if self._kinds.get(_bare(payload_key(field))) == rival else condition
            case Equals(field, str(value)) if _NUMBER.fullmatch(value):
                if self._kinds.get(_bare(payload_key(field))) == "number":
                    return AnyOf((condition, Equals(field, float(value))))
                return condition
            case Equals(field, value) if not isinstance(value, str | bool):
                return _NEVER if self._kinds.get(_bare(payload_key(field))) == "date" else condition
            case Among(field, values):
                return AnyOf(tuple(self.fitted(Equals(field, value)) for value in values))
            case _:
                return condition


def _bare(path: str) -> str:
    # the engine quotes only what needs it
    return path.replace('"', "")


def _kind(value: Meta) -> IndexKind:
    if isinstance(value, tuple):
        value = value[0] if value else ""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    return "date" if DATE.fullmatch(str(value)) else "keyword"
