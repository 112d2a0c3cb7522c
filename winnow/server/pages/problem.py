"""Errors as pages, for who asked with a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from winnow.server.pages.rendering import render
from winnow.server.pages.words import WORDS

_NO_PAGES = ("/v1", "/v2", "/metrics", "/openapi.json")


def problem_page(
    request: Request, body: Mapping[str, Any], headers: Mapping[str, str] | None
) -> HTMLResponse | None:
    """The page for a problem; None where no page was asked for: a path of the API, or another type."""
    path, accepted = request.url.path, request.headers.get("accept", "")
    if path.startswith(_NO_PAGES) or "text/html" not in accepted:
        return None
    return render(
        request,
        "problem.html",
        status=body["status"],
        headers=headers,
        problem=body,
        heading=heading(body["status"]),
    )


def heading(status: int) -> str:
    """The key of the words that stand above a problem."""
    key = f"problem.{status}"
    return key if key in WORDS else "problem.other"
