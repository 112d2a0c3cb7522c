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
    Contains,
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

# A server in strict mode refuses a filter on a field without an index: there every field of ours has one, but
# for the text of a passage.
OWN_ON_A_SERVER: Mapping[str, IndexKind] = {
    **OWN,
    "title": "keyword",
    "headings": "keyword",
    "ordinal": "number",
    "start": "number",
    "end": "number",
    "legible": "flag",
}

# An index costs memory a passage. Keys beyond these are filtered without, slower and just as right.
MOST = 32

DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?")
NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?")

_NAMES: Mapping[IndexKind, str] = {
    "keyword": "text",
    "number": "number",
    "flag": "true or false",
    "date": "date",
}
# An engine asked for dates in an index of numbers compares numbers, and the other way round.
_RIVALS = frozenset({"number", "date"})
NEVER = All((Absent("document_id"), Not(Absent("document_id"))))
ALWAYS = Not(NEVER)


class Indexed:
    """The paths of a collection that have an index, and the kind of each."""

    def __init__(
        self,
        kinds: Mapping[str, IndexKind],
        own: Mapping[str, IndexKind] = OWN,
        most: int = MOST,
        *,
        strict: bool = False,
    ) -> None:
        self._kinds = {_bare(path): kind for path, kind in kinds.items()}
        self._own = own
        self._most = most
        self._strict = strict

    @classmethod
    def of(
        cls,
        info: Any,
        schemas: Mapping[IndexKind, Any],
        own: Mapping[str, IndexKind] = OWN,
        most: int = MOST,
        *,
        strict: bool = False,
    ) -> Self:
        """Read the indexes from what an engine reports; `schemas` are its names of our kinds.

        `own` are the fields of ours that have one in this engine, `most` how many others may. A `strict` one
        refuses filters on fields without.
        """
        kinds = {schema: kind for kind, schema in schemas.items()}
        found = ((path, kinds.get(index.data_type)) for path, index in info.payload_schema.items())
        return cls({path: kind for path, kind in found if kind is not None}, own, most, strict=strict)

    def kind(self, field: str) -> IndexKind | None:
        """Return the kind of the index over a filter's field; None where it has none."""
        return self._kinds.get(_bare(payload_key(field)))

    def lacking(self) -> dict[str, IndexKind]:
        """Return the indexes over fields of ours that are not there: a creation was interrupted, or older."""
        return {path: kind for path, kind in self._own.items() if path not in self._kinds}

    def missing(self, points: Iterable[Point]) -> dict[str, IndexKind]:
        """Return the indexes to make before these points are stored, as path and kind.

        The first value of a key decides. Where numbers and dates meet under one key an index of keywords
        takes the place: it serves neither, and so misleads neither.
        """
        found = self.lacking()
        room = self._most - len(self.fields)
        for point in points:
            for key, value in point.chunk.metadata.items():
                if value is None or not UNREACHABLE.isdisjoint(key):
                    continue
                path, kind = payload_key(f"{METADATA}.{key}"), _kind(value)
                known = found.get(path) or self._kinds.get(_bare(path))
                if known is None:
                    if room > 0:
                        found[path] = kind
                        room -= 1
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
    def knows_all(self) -> bool:
        """True where every key of the metadata has an index, so that one without is of no passage."""
        return len(self.fields) < self._most

    def unknown(self, condition: Condition) -> set[str]:
        """Return the metadata that a condition names and no index is over."""
        return {field for field in fields_of(condition) if field not in FIELDS and self.kind(field) is None}

    def check(self, condition: Condition) -> None:
        """Raise BadInputError where a condition names a field that no passage has.

        Where a collection has more kinds of metadata than indexes, nothing is known of the others.
        """
        known = self.fields
        if self._strict and not self.knows_all and (without := self.unknown(condition)):
            raise BadInputError(
                f"the server refuses filters on what has no index, as {', '.join(sorted(without))} has: "
                f"only the first {self._most} keys of a collection have",
                way_out="Its strict mode decides: unindexed_filtering_retrieve = true allows them.",
            )
        if not known or not self.knows_all:
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

        A number in quotes also finds that number. A strict engine is not asked for what no passage has.
        """
        match condition:
            case Absent(field) if self._is_nowhere(field):
                return ALWAYS
            case Equals(field) | Ordered(field) | Among(field) | Contains(field) if self._is_nowhere(field):
                return NEVER
            case All(parts):
                return All(tuple(self.fitted(part) for part in parts))
            case AnyOf(parts):
                return AnyOf(tuple(self.fitted(part) for part in parts))
            case Not(part):
                return Not(self.fitted(part))
            case Ordered(field, _, bound):
                rival = "number" if isinstance(bound, datetime) else "date"
                return NEVER if self.kind(field) == rival else condition
            case Equals(field, str(value)) if NUMBER.fullmatch(value):
                if self.kind(field) == "number":
                    return AnyOf((condition, Equals(field, float(value))))
                return condition
            case Equals(field, value) if not isinstance(value, str | bool):
                return NEVER if self.kind(field) == "date" else condition
            case Among(field, values):
                return AnyOf(tuple(self.fitted(Equals(field, value)) for value in values))
            case _:
                return condition

    def _is_nowhere(self, field: str) -> bool:
        return self._strict and field not in FIELDS and self.knows_all and self.kind(field) is None


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
