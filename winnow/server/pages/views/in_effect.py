"""The settings in effect, as text. Of a secret only that it is set is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from storage.secrets import masked
from winnow.app.settings import PREFIX, Origin, Settings

_GENERAL = "general"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `value` is None where it is not set, or where it is `secret`."""

    key: str
    value: str | None
    secret: bool
    origin: Origin

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.key.upper().replace(".", "__")


def in_effect(settings: Settings, mask: Callable[[str], str]) -> dict[str, list[Setting]]:
    """Return all settings by section of winnow.toml; `general` are those above all sections.

    `mask` blots out the secrets that a value may hold.
    """
    sections = dict[str, list[Setting]]({_GENERAL: []})
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        section = name if isinstance(value, BaseModel) else _GENERAL
        sections.setdefault(section, []).extend(
            _setting(settings, key, one, mask) for key, one in _leaves(name, value)
        )
    return sections


def _leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    inner: Mapping[str, Any] | None = None
    if isinstance(value, BaseModel):
        inner = {name: getattr(value, name) for name in type(value).model_fields}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, Mapping) and value:
        inner = {str(name): one for name, one in value.items()}
    if inner is None:
        yield key, value
        return
    for name, one in inner.items():
        yield from _leaves(f"{key}.{name}", one)


def _setting(settings: Settings, key: str, value: object, mask: Callable[[str], str]) -> Setting:
    secret = isinstance(value, SecretStr)
    empty = value is None or (isinstance(value, tuple | Mapping) and not value)
    text = None if empty or secret else masked(mask(_text(value)))
    return Setting(key, text, secret, settings.origin(key))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    return str(value)
