"""Reads the message of a failure out of every usual shape of an error body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from storage.secrets import masked

# OpenAI, FastAPI, Cohere, Spring, Google, Baidu, MiniMax, Apigee, iFlytek, RFC 9457 …; in any case.
_TEXTS = ("message", "msg", "detail", "details", "error", "errors", "error_msg", "error_message")
_MORE = ("errormessage", "error_description", "status_msg", "base_resp", "title", "reason", "output")
_REST = ("fault", "faultstring", "header", "metadata", "raw", "innererror", "err", "description")
_HTML = re.compile(r"(?is)<(script|style)\b.*?</\1>|<!--.*?-->|<[^>]*>")
_DEEPEST = 6
_SNIPPET = 200


class ReportedError(ValueError):
    """An error that a server reports within a reply that says all is well; its text is the server's."""


def error_text(body: Any) -> str:
    """The server's own words, empty where a body has none: a field that is named comes before what is said
    of it. Takes JSON, parsed or as text, and HTML.
    """
    if isinstance(body, str):
        return _of_text(body)
    return "; ".join(dict.fromkeys(_words(body, 0)))


def reported_error(body: Any) -> str:
    """The error that a reply with status 200 reports, empty for one that reports none."""
    if not isinstance(body, dict):
        return ""
    code = body.get("code", body.get("status"))
    failed = isinstance(code, int) and not isinstance(code, bool) and code not in (0, 200)
    told = any(body.get(key) for key in ("error", "errors", "detail", "base_resp", "error_msg"))
    return error_text(body) if failed or told or isinstance(body.get("message"), str) else ""


def snippet(text: str) -> str:
    """The beginning of a server's text, fit for a terminal, without secrets."""
    shown = masked(text[: _SNIPPET * 50])[:_SNIPPET]
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+", " ", shown).strip() or "(empty)"


def _of_text(text: str) -> str:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(unescape(_HTML.sub(" ", text)).split())
    return text.strip() if isinstance(parsed, str | int | float) else error_text(parsed) or text.strip()


def _words(body: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(body, str) and body.strip():
        nested = body.lstrip()[:1] in "[{"
        yield _of_text(body) if nested and depth < _DEEPEST else body.strip()
    elif isinstance(body, list | tuple):
        for one in body:
            yield from _words(one, depth + 1)
    elif isinstance(body, dict):
        body = {str(key).lower(): value for key, value in body.items()}
        found = [word for key in (*_TEXTS, *_MORE, *_REST) for word in _words(body.get(key), depth + 1)]
        place = body.get("loc")
        if isinstance(place, list | tuple):
            found = [f"{'.'.join(map(str, place))}: {' '.join(found)}".strip()]
        named = [body.get("param"), *([] if found else [body.get("code"), body.get("type")])]
        said = " ".join(found)
        yield from found
        yield from (name for name in named if isinstance(name, str) and name and name not in said)
