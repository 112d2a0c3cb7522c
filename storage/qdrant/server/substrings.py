"""Filters with `contains` for servers that cannot search for a piece of text.

Qdrant can since 1.20. An older one lists the values of a field that has an index of keywords; those with the
piece in them are then looked for whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storage.errors import BadInputError
from storage.qdrant.conditions import All, Among, AnyOf, Condition, Contains, Not
from storage.qdrant.payload_indexes import NEVER, Indexed

# The first version with a substring match.
SINCE = (1, 20)

# More different values make a filter that is no longer quick.
MOST_VALUES = 10_000


def number(version: str) -> tuple[int, ...]:
    """Return a version's major and minor number; empty where it is none."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def has_contains(condition: Condition) -> bool:
    """Return whether a condition looks for a piece of text."""
    match condition:
        case All(parts) | AnyOf(parts):
            return any(map(has_contains, parts))
        case Not(part):
            return has_contains(part)
        case _:
            return isinstance(condition, Contains)


def spelled_out(
    condition: Condition, indexed: Indexed, values: Callable[[str], Sequence[str]], version: str
) -> Condition:
    """Return the condition with the values that hold each piece in its place.

    `values` lists the different values of a field, at most MOST_VALUES. Raises BadInputError where the field
    has no list of values, or too many.
    """
    match condition:
        case All(parts):
            return All(tuple(spelled_out(part, indexed, values, version) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(spelled_out(part, indexed, values, version) for part in parts))
        case Not(part):
            return Not(spelled_out(part, indexed, values, version))
        case Contains(field, piece):
            if indexed.kind(field) != "keyword":
                raise _refusal(f"{condition} needs Qdrant 1.20; the server has {version}", field)
            found = values(field)
            if len(found) >= MOST_VALUES:
                many = f"more than {MOST_VALUES:,} values, too many for Qdrant {version}"
                raise _refusal(f"{condition}: the field has {many}", field)
            fitting = tuple(value for value in found if piece in value)
            return Among(field, fitting) if fitting else NEVER
        case _:
            return condition


def _refusal(message: str, field: str) -> BadInputError:
    return BadInputError(message, way_out=f"Upgrade the server, or compare `{field}` with =, in or not in.")
