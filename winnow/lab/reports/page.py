"""Renders reports: HTML files that fetch nothing and run no script, light or dark as the reader prefers.

Every value in a template is escaped; characters that could make a page show something false become spaces.
"""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from storage.errors import BadInputError

# Told apart by most people with colour vision deficiencies (Okabe & Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "currentColor", "#999999")


def check_file(path: Path) -> None:
    """Check, before the long work, that a report can be written after it. Raises BadInputError."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise BadInputError(
            f"the report cannot be written to {path}", way_out="Give a file in an existing folder."
        )


def write(text: str, path: Path) -> None:
    """Write a report; an older one stays whole until the new one is complete. Raises BadInputError."""
    draft = path.with_name(f"{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105 - says that it is atomic
    except OSError as error:
        raise BadInputError(f"the report cannot be written to {path}: {error.strerror}") from error


def render(template: str, **values: Any) -> str:
    """A template of this folder's `templates/`, filled in."""
    return _environment().get_template(template).render(values)


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("winnow.lab.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: _printable(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["fixed"] = _fixed
    environment.globals["colour"] = lambda number: _COLOURS[(number - 1) % len(_COLOURS)]
    return environment


def _fixed(value: float | None, digits: int = 3, sign: str = "") -> str:
    """A number with fixed digits; a dash for None."""
    return "–" if value is None else f"{value:{sign}.{digits}f}"


def _printable(text: str) -> str:
    """Text without control, direction and surrogate characters."""
    if isinstance(text, Markup):
        return text
    return "".join(" " if unicodedata.category(one) in ("Cc", "Cf", "Cs") else one for one in text)
