"""A stage's options: declared by each strategy as a frozen dataclass, checked against a spec's values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import lru_cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rerank.gates import Gates
from rerank.llm.budget import Budget
from rerank.spec import Value
from storage.errors import SpecError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


def read_options(declared: type[Options], stage: str, values: Mapping[str, Value]) -> Options:
    """The declared dataclass, filled with a spec's values.

    Raises SpecError for an unknown option (naming the valid ones), a value of another type, or one that the
    dataclass's own check refuses (a ValueError from `__post_init__`).
    """
    hints = _hints(declared)
    names = [field.name for field in fields(declared)]
    accepted = {}
    for key, value in values.items():
        if key not in hints:
            raise unknown_option(stage, key, names)
        accepted[key] = _fitting(stage, key, value, hints[key])
    try:
        return declared(**accepted)
    except ValueError as error:
        raise SpecError(f"{stage}: {error}") from error


def at_least(minimum: float, **values: float) -> None:
    """Raises ValueError where a named value is below the minimum."""
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, and is {value}")


def split_options(name: str, options: dict[str, Value]) -> tuple[Gates, Budget, dict[str, Value]]:
    """A stage's gates, its budget, and the options that are the strategy's own. Raises SpecError."""
    gates = {key: options.pop(key) for key in _names(Gates) if key in options}
    budget = {key: options.pop(key) for key in _names(Budget) if key in options}
    return read_options(Gates, name, gates), read_options(Budget, name, budget), options


def common_options() -> list[str]:
    """The options that every stage takes."""
    return [*_names(Gates), *_names(Budget)]


def _names(declared: type[Gates | Budget]) -> list[str]:
    return [field.name for field in fields(declared)]


def unknown_option(stage: str, key: str, names: list[str]) -> SpecError:
    """The error for an option that nobody knows."""
    close = get_close_matches(key, [*names, *common_options()], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    known = f"Its options: {', '.join(names)}." if names else "It has no options of its own."
    also = f"Every stage takes: {', '.join(common_options())}."
    return SpecError(f"{stage} has no option {key!r}{hint}", way_out=f"{known} {also}")


@lru_cache
def _hints(declared: type) -> Mapping[str, object]:
    """Its fields' types. Every question reads options, and resolving their names takes longer than that."""
    return get_type_hints(declared)


def _fitting(stage: str, key: str, value: Value, hint: object) -> Value:
    allowed = _alternatives(hint)
    for kind in allowed:
        if get_origin(kind) is Literal:
            if value in get_args(kind):
                return value
        # bool is an int to Python, but not to a reader of a spec
        elif kind is bool or isinstance(value, bool):
            if kind is bool and isinstance(value, bool):
                return value
        elif kind is float and isinstance(value, int):
            return float(value)
        elif isinstance(kind, type) and isinstance(value, kind):
            return value
    raise SpecError(f"{stage}: the option {key}={value!r} must be {' or '.join(map(_called, allowed))}")


def _alternatives(hint: object) -> list[object]:
    if get_origin(hint) in (Union, UnionType):
        return [kind for kind in get_args(hint) if kind is not NoneType]
    return [hint]


def _called(kind: object) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return next((name for known, name in names.items() if known is kind), str(kind))
