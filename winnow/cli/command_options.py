"""Commands that take their options as one dataclass, each option declared once.

    @dataclass(frozen=True, kw_only=True)
    class TrainOptions:
        batch: Annotated[int, Option(help="Pairs in a forward pass.", min=1)] = 32

    @app.command()
    @from_options
    def train(options: TrainOptions) -> None: ...

A field that is itself such a dataclass contributes its own fields in place, so that commands share groups of
options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import update_wrapper
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def from_options(command: Callable[[T], None]) -> Callable[..., None]:
    """The command with a parameter for each option, as Typer reads them."""
    [cls] = (hint for name, hint in get_type_hints(command).items() if name != "return")
    parameters = list(_parameters(cls))

    def run(**given: Any) -> None:
        command(_filled(cls, given))

    update_wrapper(run, command)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return run


def build(cls: type[T], options: object, **others: Any) -> T:
    """A dataclass filled from the options with its fields' names, and from `others`, which win."""
    given = {**_flat(options), **others}
    return cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})  # type: ignore[arg-type]


def _parameters(cls: Any) -> Iterator[Parameter]:
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        hint = hints[field.name]
        if is_dataclass(hint):
            yield from _parameters(hint)
        else:
            default = Parameter.empty if field.default is MISSING else field.default
            yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _filled(cls: Any, given: Mapping[str, Any]) -> Any:
    hints = get_type_hints(cls)
    return cls(
        **{
            field.name: _filled(hint, given) if is_dataclass(hint := hints[field.name]) else given[field.name]
            for field in fields(cls)
        }
    )


def _flat(options: Any) -> dict[str, Any]:
    """The options by name, those of groups included."""
    flat: dict[str, Any] = {}
    for field in fields(options):
        value = getattr(options, field.name)
        flat.update(_flat(value) if is_dataclass(value) else {field.name: value})
    return flat
