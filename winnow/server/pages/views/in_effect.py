"""Every setting in effect, as text for people. A secret is `set` or not, and never more."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from winnow.app.settings import PREFIX, Origin, Settings

# Who writes a password into an address means nobody to read it.
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_GENERAL = "general"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value. `value` None: there is none; `secret`: there is one, which is not shown."""

    key: str
    value: str | None
    secret: bool
    origin: Origin

    @property
    def variable(self) -> str:
        """The environment variable that would set it."""
        return PREFIX + self.key.upper().replace(".", "__")


@dataclass(frozen=True, slots=True)
class Section:
    """A table of winnow.toml; `general` is what stands above all tables."""

    name: str
    settings: Sequence[Setting]


def in_effect(settings: Settings, shown: Callable[[str], str]) -> list[Section]:
    """All settings by section; `shown` blots out the secrets that a value may hold."""
    general, sections = list[Setting](), list[Section]()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        found = [_setting(settings, key, one, shown) for key, one in _leaves(name, value)]
        if isinstance(value, BaseModel):
            sections.append(Section(name, found))
        else:
            general += found
    return [Section(_GENERAL, general), *sections]


def without_password(text: str) -> str:
    """An address, or text with addresses, without who asks and his password."""
    return _USERINFO.sub("***@", text)


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


def _setting(settings: Settings, key: str, value: object, shown: Callable[[str], str]) -> Setting:
    secret = isinstance(value, SecretStr)
    empty = value is None or (isinstance(value, tuple | Mapping) and not value)
    text = None if empty or secret else without_password(shown(_text(value)))
    return Setting(key, text, secret, settings.origin(key))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    return str(value)
