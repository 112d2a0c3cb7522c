"""A filter as a tree of conditions, which each store translates. `storage.qdrant.filters` parses text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.records import Chunk

# The fields of ours at the top level of a payload; a document's own metadata lies below METADATA.
FIELDS = ("document_id", "source", "title", "text", "start", "end", "ordinal", "headings", "page", "legible")
METADATA = "metadata"

# Qdrant's paths cannot express a key that holds one of these; a passage keeps such a key all the same.
UNREACHABLE = frozenset('"\\')

Value = str | int | float | bool
Order = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Equals:
    """The field has this value (for a list: among its values)."""

    field: str
    value: Value

    def __str__(self) -> str:
        return f"{_field_text(self.field)} = {_value_text(self.value)}"


@dataclass(frozen=True, slots=True)
class Ordered:
    """The field lies on this side of a number or a date."""

    field: str
    order: Order
    bound: int | float | datetime

    def __str__(self) -> str:
        bound = self.bound.isoformat() if isinstance(self.bound, datetime) else self.bound
        return f"{_field_text(self.field)} {self.order} {_value_text(bound)}"


@dataclass(frozen=True, slots=True)
class Among:
    """The field has one of these values."""

    field: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{_field_text(self.field)} in ({', '.join(_value_text(value) for value in self.values)})"


@dataclass(frozen=True, slots=True)
class Contains:
    """The field's text has this piece in it."""

    field: str
    piece: str

    def __str__(self) -> str:
        return f"{_field_text(self.field)} contains {_value_text(self.piece)}"


@dataclass(frozen=True, slots=True)
class Absent:
    """The field is missing, null or an empty list."""

    field: str

    def __str__(self) -> str:
        return f"{_field_text(self.field)} is null"


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


def fields_of(condition: Condition) -> Iterator[str]:
    """Every field that a condition names, as often as it does."""
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from fields_of(part)
        case Not(part):
            yield from fields_of(part)
        case _:
            yield condition.field


def payload_key(field: str) -> str:
    """Return the path of a filter's field in the payload, as Qdrant writes it."""
    if field in FIELDS:
        return field
    # metadata is flat: a dot is part of the key
    return f'{METADATA}."{field.removeprefix(METADATA + ".")}"'


def around(chunks: Sequence[Chunk], reach: int) -> Condition:
    """Return the condition of lying at most `reach` places from one of `chunks` in its document."""
    return AnyOf(
        tuple(
            All(
                (
                    Equals("document_id", chunk.document_id),
                    Ordered("ordinal", ">=", chunk.ordinal - reach),
                    Ordered("ordinal", "<=", chunk.ordinal + reach),
                )
            )
            for chunk in chunks
        )
    )


def _value_text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def _field_text(field: str) -> str:
    return f"`{field}`"
