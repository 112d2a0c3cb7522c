"""Templates into replies. Everything is escaped; what could steer a reader's eye is taken out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from winnow.server.pages.preferences import Preferences, changed, remember
from winnow.server.pages.views import numbers
from winnow.server.pages.words import Words
from winnow.server.security import locked_out, may_change, token_of
from winnow.version import __version__

# `same-origin`, not the API's `no-referrer`: under that one browsers send a form's Origin as `null`.
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
}
# The pages of the navigation: path and word.
NAVIGATION = (
    ("/", "page.ask"),
    ("/answers", "page.answers"),
    ("/compare", "page.compare"),
    ("/collections", "page.collections"),
    ("/settings", "page.settings"),
)
# Marks that turn the direction of what follows, so that it reads as something else.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# What is neither text nor space, and halves of characters, which no page can hold.
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page, in the reader's language. `values` are the template's."""
    reply = HTMLResponse(
        fragment(request, template, **values), status_code=status, headers={**HEADERS, **(headers or {})}
    )
    remember(request, reply)
    return reply


def fragment(request: Request, template: str, **values: Any) -> str:
    """A part of a page, as HTML, for a script of ours to put in its place."""
    chosen = Preferences.of(request)
    words = Words(chosen.language)
    return (
        _environment()
        .get_template(template)
        .render(
            t=words,
            tn=words.counted,
            said=words.reason,
            refused=words.refusal,
            ordinal=words.ordinal,
            lang=chosen.language,
            theme=chosen.theme,
            navigation=() if locked_out(request) else NAVIGATION,
            token=token_of(request),
            may_change=may_change(request),
            here=_section(request.url.path),
            changed=lambda **query: changed(request, **query),
            version=__version__,
            **values,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("winnow.server.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=clean,
    )
    environment.filters.update(
        duration=numbers.duration,
        cost=numbers.cost,
        score=numbers.score,
        moment=numbers.moment,
        number=numbers.number,
        size=numbers.size,
        segment=lambda text: quote(str(text), safe=""),
    )
    return environment


def _section(path: str) -> str:
    """The navigation's entry that a path belongs to."""
    return "/" + path.strip("/").partition("/")[0]


def clean(value: Any) -> Any:
    """A value; text without control characters, halves of characters and marks that turn its direction."""
    if type(value) is not str:
        return value  # Markup was made by a template, of cleaned parts
    return _CONTROL.sub("\ufffd", _TURNING.sub("", value))
