"""What a filter says, as a tree that each store translates. `storage.qdrant.filters` reads one from text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.qdrant.payload import FIELDS, METADATA

# Qdrant's paths have no way to say a key that holds one of these; a passage keeps such a key all the same.
UNREACHABLE = frozenset('"\\')

Value = str | int | float | bool
Order = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Equals:
    """The field has this value (for a list: among its values)."""

    field: str
    value: Value

    def __str__(self) -> str:
        return f"{_shown_field(self.field)} = {_shown(self.value)}"


@dataclass(frozen=True, slots=True)
class Ordered:
    """The field lies on this side of a number or a date."""

    field: str
    order: Order
    bound: int | float | datetime

    def __str__(self) -> str:
        bound = self.bound.isoformat() if isinstance(self.bound, datetime) else self.bound
        return f"{_shown_field(self.field)} {self.order} {_shown(bound)}"


@dataclass(frozen=True, slots=True)
class Among:
    """The field has one of these values."""

    field: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{_shown_field(self.field)} in ({', '.join(_shown(value) for value in self.values)})"


@dataclass(frozen=True, slots=True)
class Contains:
    """The field's text has this piece in it."""

    field: str
    piece: str

    def __str__(self) -> str:
        return f"{_shown_field(self.field)} contains {_shown(self.piece)}"


@dataclass(frozen=True, slots=True)
class Absent:
    """The field is missing, null or an empty list."""

    field: str

    def __str__(self) -> str:
        return f"{_shown_field(self.field)} is null"


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition

    def __str__(self) -> str:
        return f"not ({self.condition})"


@dataclass(frozen=True, slots=True)
class All:
    """Every one of the conditions holds."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(f"({condition})" for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the conditions holds."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(f"({condition})" for condition in self.conditions)


Condition = Equals | Ordered | Among | Contains | Absent | Not | All | AnyOf


def payload_key(field: str) -> str:
    """Where a field of a filter stands in the payload, as a path of Qdrant."""
    if field in FIELDS:
        return field
    # metadata is flat: a dot is part of the key
    return f'{METADATA}."{field.removeprefix(METADATA + ".")}"'


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def _shown_field(field: str) -> str:
    return f"`{field}`"
