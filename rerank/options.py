"""A stage's options: declared as frozen dataclasses, checked against a spec's values.

Each strategy declares its own; `Gates` and `Budget` are those that every stage takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from rerank.llm.budget import Budget
from rerank.spec import Value
from storage.errors import SpecError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")

_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True, slots=True)
class Gates:
    """`skip_if_margin`: skip the stage where the stage before is sure, that is, where its score of the last
    candidate to keep exceeds the next one's by this much. `min_score`: drop what this stage scores lower.
    """

    skip_if_margin: float | None = None
    min_score: float | None = None


def _names(declared: type[DataclassInstance]) -> list[str]:
    return [field.name for field in fields(declared)]


_COMMON = [*_names(Gates), *_names(Budget)]


def read_options(declared: type[Options], stage: str, values: Mapping[str, Value]) -> Options:
    """The declared dataclass, filled with a spec's values.

    Raises SpecError for an unknown option (naming the valid ones), a value of another type or below its bound
    (`Annotated[int, Field(ge=1)]`), and for a ValueError of the dataclass's own `__post_init__`.
    """
    names = _names(declared)
    for key in values:
        if key not in names:
            raise _unknown_option(stage, key, names)
    if not values:
        return declared()
    try:
        # strict: "3" is not a number, true not 1; as JSON, since strict dataclasses take no Python mapping
        adapter: TypeAdapter[Options] = _adapter(declared)
        return adapter.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        context = first.get("ctx", {})
        if not first["loc"]:
            raise SpecError(f"{stage}: {context.get('error', first['msg'])}") from error
        key = str(first["loc"][0])
        if bound := next((one for one in _BOUNDS if one in context), None):
            raise SpecError(
                f"{stage}: {key} must be {_BOUNDS[bound]} {context[bound]}, and is {values[key]}"
            ) from error
        allowed = _TYPES.get(first["type"]) or context.get("expected", first["msg"])
        raise SpecError(f"{stage}: the option {key}={values[key]!r} must be {allowed}") from error


def split_options(name: str, options: Mapping[str, Value]) -> tuple[Gates, Budget, dict[str, Value]]:
    """A stage's gates, its budget, and the options that are the strategy's own. Raises SpecError."""
    gates = {key: value for key, value in options.items() if key in _names(Gates)}
    budget = {key: value for key, value in options.items() if key in _names(Budget)}
    own = {key: value for key, value in options.items() if key not in _COMMON}
    return read_options(Gates, name, gates), read_options(Budget, name, budget), own


def _unknown_option(stage: str, key: str, names: list[str]) -> SpecError:
    close = get_close_matches(key, [*names, *_COMMON], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    known = f"Its options: {', '.join(names)}." if names else "It has no options of its own."
    also = f"Every stage takes: {', '.join(_COMMON)}."
    return SpecError(f"{stage} has no option {key!r}{hint}", way_out=f"{known} {also}")


@lru_cache
def _adapter(declared: type[DataclassInstance]) -> TypeAdapter[Any]:
    """Built once for each dataclass: building takes a millisecond, and every question reads options."""
    return TypeAdapter(declared)
