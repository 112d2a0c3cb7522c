"""The fields that a filter can name: those that passages have, with some of their values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from storage.errors import BadInputError
from storage.qdrant.conditions import FIELDS, METADATA, Absent
from storage.qdrant.filters import parse_filter
from storage.qdrant.payload_indexes import DATE
from storage.records import Meta
from winnow.server.visible import Visible

_LOOKED_AT = 300
_MOST_VALUES = 12
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class FilterField:
    """A field as a filter names it, and values that passages have, the most frequent first.

    `ordered` where its values are numbers or dates.
    """

    name: str
    values: Sequence[str]
    ordered: bool


def fields_of(seen: Visible, collection: str) -> list[FilterField]:
    """Return the fields of some of a collection's passages, by name. Blocking."""
    counts: dict[str, dict[Meta, int]] = {}
    for chunk in seen.passages(seen.existing(collection)).first(_LOOKED_AT):
        own = {f"{METADATA}.{key}" if key in FIELDS else key: value for key, value in chunk.metadata.items()}
        for name, value in (*own.items(), ("source", chunk.source), ("page", chunk.page)):
            for one in value if isinstance(value, tuple) else (value,):
                if one is not None:
                    counter = counts.setdefault(name, {})
                    counter[one] = counter.get(one, 0) + 1
    written = ((_written(name), values) for name, values in sorted(counts.items()))
    return [_field(name, values) for name, values in written if name]


def _written(name: str) -> str:
    """Return a field as a filter names it, in backticks where it has to be; empty where none can."""
    for written in (name, f"`{name}`"):
        with suppress(BadInputError):
            if parse_filter(f"{written} is null") == Absent(name):
                return written
    return ""


def _field(name: str, values: dict[Meta, int]) -> FilterField:
    short = [one for one in values if len(str(one)) <= _LONGEST]
    best = sorted(short, key=lambda one: (-values[one], str(one)))[:_MOST_VALUES]
    ordered = all(_ordered(one) for one in values)
    return FilterField(name, [literal(one) for one in best], ordered)


def _ordered(value: Meta) -> bool:
    if isinstance(value, str):
        return DATE.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def literal(value: Meta) -> str:
    """Return a value as a filter writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
