"""Render templates into replies. Everything is escaped; characters that mislead a reader are removed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from winnow.server.pages.compression import encoding, gzipped, takes_gzip
from winnow.server.pages.preferences import Preferences, changed, remember
from winnow.server.pages.views.formats import FILTERS
from winnow.server.pages.views.passages import address_of
from winnow.server.pages.words import Words
from winnow.server.security import locked_out, may_change, token_of, visibility_of
from winnow.version import __version__

# `same-origin`, not the API's `no-referrer`: under that one browsers send a form's Origin as `null`.
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
}
# The pages of the navigation: path and the key of its text.
NAVIGATION = (
    ("/", "page.ask"),
    ("/answers", "page.answers"),
    ("/compare", "page.compare"),
    ("/collections", "page.collections"),
    ("/settings", "page.settings"),
)
# Shows the whole server.
_WHOLE = "/settings"
# Paths whose errors are JSON even for a browser.
_NO_PAGES = ("/v1", "/v2", "/metrics", "/openapi.json")
# Marks that turn the direction of the text after them, so that it reads as something else.
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Control characters, and halves of characters, which no page can hold.
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """Render a page in the reader's language. `values` are the template's."""
    body, packed = fragment(request, template, **values).encode(), takes_gzip(request)
    reply = HTMLResponse(
        gzipped(body) if packed else body,
        status_code=status,
        headers={**HEADERS, **encoding(packed=packed), **(headers or {})},
    )
    remember(request, reply)
    return reply


def fragment(request: Request, template: str, **values: Any) -> str:
    """Render a part of a page as HTML, for a script to insert."""
    chosen = Preferences.of(request)
    words = Words(chosen.language)
    return (
        _environment()
        .get_template(template)
        .render(
            t=words,
            tn=words.counted,
            reason=words.reason,
            stage_name=words.stage,
            check_name=words.check,
            ordinal=words.ordinal,
            lang=chosen.language,
            theme=chosen.theme,
            navigation=_navigation(request),
            token=token_of(request),
            may_change=may_change(request),
            may_write=may_change(request) and visibility_of(request).where is None,
            address_of=address_of,
            here="/" + request.url.path.strip("/").partition("/")[0],
            changed=lambda **query: changed(request, **query),
            version=__version__,
            **values,
        )
    )


def problem_page(
    request: Request, body: Mapping[str, Any], headers: Mapping[str, str] | None
) -> HTMLResponse | None:
    """Render a problem as a page; None for paths of the API and clients that do not accept HTML."""
    if request.url.path.startswith(_NO_PAGES) or "text/html" not in request.headers.get("accept", ""):
        return None
    heading = Words(Preferences.of(request).language).problem(body["status"])
    return render(
        request, "problem.html", status=body["status"], headers=headers, problem=body, heading=heading
    )


def _navigation(request: Request) -> Sequence[tuple[str, str]]:
    """Return the pages that the reader may open."""
    if locked_out(request):
        return ()
    part = visibility_of(request).restricted
    return [one for one in NAVIGATION if not (part and one[0] == _WHOLE)]


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
    environment.filters.update({function.__name__: function for function in FILTERS})
    return environment


def clean(value: Any) -> Any:
    """Return a value; text without control characters, halves of characters and direction marks."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value  # Markup was made by a template, of cleaned parts
    return _CONTROL.sub("\ufffd", _DIRECTION.sub("", value))
