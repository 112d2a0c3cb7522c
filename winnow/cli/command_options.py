"""Commands that take their options as a dataclass, each option declared once.

    @dataclass(frozen=True, kw_only=True)
    class TrainOptions:
        batch: Annotated[int, Option(help="Pairs in a forward pass.", min=1)] = 32

    app = CommandGroup()

    @app.command()
    def train(options: TrainOptions) -> None: ...

A field that is itself such a dataclass contributes its own fields in place, so that commands share groups of
options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, update_wrapper
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar, get_type_hints

import typer

from winnow.cli.terminal import reported

T = TypeVar("T")

# Longer lines are hard to read.
_WIDEST_HELP = 110


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function: each field of a dataclass parameter is an option, as Typer reads them.

    Errors are reported as `--json` asks, where the command has that option.
    """
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    parameters: dict[str, Parameter] = {}
    for name, parameter in signature(function).parameters.items():
        if name in groups:
            parameters |= {option.name: option for option in _parameters(groups[name])}
        else:
            parameters[name] = parameter.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY)
    for last in ("data_dir", "as_json"):
        if last in parameters:
            parameters[last] = parameters.pop(last)

    def run(**given: Any) -> None:
        with reported(given.get("as_json", False)):
            own = {name: value for name, value in given.items() if name in hints}
            function(**own, **{name: _filled(group, given) for name, group in groups.items()})

    update_wrapper(run, function)
    run.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    run.__signature__ = Signature([*parameters.values()])  # type: ignore[attr-defined]
    return run


class CommandGroup(typer.Typer):
    """A Typer application whose commands are made by `command`; the functions stay as they are.

    Help is plain text as wide as the terminal: panels leave a narrow column for what each option does.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            rich_markup_mode=None, context_settings={"max_content_width": _WIDEST_HELP}, **settings
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        register = super().command(name, **settings)

        def registered(function: Callable[..., None]) -> Callable[..., None]:
            register(command(function))
            return function

        return registered


def build(cls: type[T], options: object, **others: Any) -> T:
    """A dataclass filled from the options with its fields' names, and from `others`, which win."""
    given = {**_flat(options), **others}
    return cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})  # type: ignore[arg-type]


@cache  # commands share groups, and resolving their annotations costs `--help` milliseconds
def _parameters(cls: Any) -> list[Parameter]:
    hints, found = get_type_hints(cls, include_extras=True), list[Parameter]()
    for field in fields(cls):
        hint = hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            found += _parameters(hint)
        else:
            default = Parameter.empty if field.default is MISSING else field.default
            found.append(Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    return found


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
