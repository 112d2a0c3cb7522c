"""A reader's preferences: language, and light or dark. Chosen by a link, remembered in a cookie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import urlencode

from fastapi import Request, Response

from storage.reasons import LANGUAGES, Language

Theme = Literal["auto", "light", "dark"]

_THEMES: Sequence[Theme] = ("light", "dark")
_YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Preferences:
    """Language and theme; the theme "auto" follows the system."""

    language: Language
    theme: Theme

    @classmethod
    def of(cls, request: Request) -> Preferences:
        """Read each from the query, else from its cookie, else from the browser's headers."""
        language = _chosen(request, "lang", LANGUAGES) or _accepted(
            request.headers.get("accept-language", "")
        )
        theme = _chosen(request, "theme", _THEMES) or "auto"
        return cls(cast("Language", language), cast("Theme", theme))


def remember(request: Request, reply: Response) -> None:
    """Have the browser remember the choices in this request's query."""
    for name, known in (("lang", LANGUAGES), ("theme", _THEMES)):
        if (chosen := request.query_params.get(name)) in known:
            reply.set_cookie(f"winnow_{name}", str(chosen), max_age=_YEAR_S, path="/", samesite="lax")


def changed(request: Request, **query: str) -> str:
    """Return this page's address with other values in its query."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in query]
    return "?" + urlencode([*kept, *query.items()])


def _chosen(request: Request, name: str, known: Sequence[str]) -> str | None:
    given = (request.query_params.get(name), request.cookies.get(f"winnow_{name}"))
    return next((one for one in given if one in known), None)


def _accepted(header: str) -> Language:
    """Return the supported language that an Accept-Language header weighs highest; else English."""
    weights: dict[str, float] = {}
    for part in header.split(","):
        tag, _, weight = part.partition(";q=")
        weights.setdefault(tag.strip().lower().partition("-")[0], _weight(weight))
    return max(LANGUAGES, key=lambda language: weights.get(language, 0.0))


def _weight(text: str) -> float:
    try:
        return float(text) if text.strip() else 1.0
    except ValueError:
        return 0.0
