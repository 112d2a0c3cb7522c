"""Errors as problem details (RFC 9457), with an `error` member in OpenAI's shape for its clients.

Secrets of the settings are masked in messages. An unexpected error is sent as a number only, under which the
server's log has the details.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from secrets import token_hex
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from storage.errors import (
    BadInputError,
    ChatError,
    DocumentRefusedError,
    FingerprintMismatchError,
    LogError,
    MissingDependencyError,
    ModelError,
    NotFoundError,
    SettingsError,
    SpecError,
    StageError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreRefusedError,
    StoreUnavailableError,
    WinnowError,
)
from storage.secrets import MASK, masked

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)


class NotAllowedError(BadInputError):
    """The client may not do that, or no request may."""

    code = "not-allowed"


class UnauthorisedError(WinnowError):
    """There is no token, or an unknown one."""

    code = "unauthorised"


class BusyError(WinnowError):
    """Too many requests at once; try again in `retry_after` seconds."""

    code = "busy"

    def __init__(self, message: str, *, retry_after: int, way_out: str = "") -> None:
        super().__init__(message, way_out=way_out)
        self.retry_after = retry_after


class TimedOutError(WinnowError):
    """A question took longer than the settings allow."""

    code = "timeout"


class TooLargeError(BadInputError):
    """A request is larger than the settings allow."""

    code = "too-large"


class NotReadyError(WinnowError):
    """Models are not loaded yet, or cannot be loaded."""

    code = "not-ready"


class ClientGoneError(WinnowError):
    """The client closed the connection before the reply."""

    code = "client-gone"


CLIENT_GONE = 499

STATUSES: Mapping[type[WinnowError], int] = {
    NotAllowedError: 403,
    UnauthorisedError: 401,
    BusyError: 429,
    TimedOutError: 504,
    TooLargeError: 413,
    ClientGoneError: CLIENT_GONE,
    NotReadyError: 503,
    NotFoundError: 404,
    SettingsError: 500,
    SpecError: 400,
    BadInputError: 400,
    DocumentRefusedError: 422,
    MissingDependencyError: 501,
    ModelError: 503,
    StoreLockedError: 503,
    StoreUnavailableError: 503,
    StoreRefusedError: 422,
    StoreCorruptError: 500,
    FingerprintMismatchError: 409,
    StoreError: 503,
    ChatError: 502,
    StageError: 502,
    LogError: 503,
    WinnowError: 500,
}


def status_of(error: WinnowError) -> int:
    """Return the HTTP status of the nearest class in the error's tree that has one."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


# Renders a problem as a page; None for clients that do not want one.
Page = Callable[[Request, Mapping[str, Any], Mapping[str, str] | None], Response | None]


class Problems:
    """Makes problem details, `secrets` masked. Browsers get them as a `page`."""

    def __init__(self, secrets: Iterable[str], page: Page | None = None) -> None:
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._page = page

    def of(self, error: WinnowError) -> dict[str, Any]:
        """Return the body for one of winnow's errors."""
        return self.body(status_of(error), error.code, str(error), error.way_out)

    def body(
        self, status: int, code: str, detail: str, way_out: str = "", errors: Sequence[Any] = ()
    ) -> dict[str, Any]:
        known = {value.value: value.phrase for value in HTTPStatus}
        detail, way_out = self.shown(detail), self.shown(way_out)
        return {
            "type": f"urn:winnow:error:{code}",
            "title": known.get(status, "Client closed the request"),
            "status": status,
            "detail": detail,
            "code": code,
            "way_out": way_out,
            **({"errors": list(errors)} if errors else {}),
            "error": {"message": detail, "type": code, "param": None, "code": code},
        }

    def shown(self, text: str) -> str:
        """Mask the secrets in a text, and replace halves of characters."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return masked(text).encode("utf-8", "replace").decode("utf-8")

    def sentence(self, error: WinnowError) -> str:
        """Return an error and its way out in one text, for pages that show it among other things."""
        return self.shown(f"{error}. {error.way_out}" if error.way_out else str(error))

    def response(self, request: Request, error: WinnowError) -> Response:
        return self.reply(request, self.of(error), _headers(error))

    def reply(
        self, request: Request, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send the body as JSON, or as a page."""
        page = self._page(request, body, headers) if self._page else None
        if page is not None:
            return page
        return JSONResponse(dict(body), status_code=body["status"], headers=headers, media_type=MEDIA_TYPE)

    def install(self, app: FastAPI) -> None:
        """Send errors that are raised on purpose as problem details; `Guard` handles the rest."""
        app.add_exception_handler(WinnowError, self._ours)
        app.add_exception_handler(RequestValidationError, self._invalid)
        app.add_exception_handler(HTTPException, self._http)

    async def _ours(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, WinnowError)
        if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, NotReadyError):
            _log.warning("%s %s: %s", request.method, request.url.path, self.shown(str(error)))
        return self.response(request, error)

    async def _invalid(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # the input is not echoed: it may hold anything
        found = [
            {"pointer": "/".join(["#", *map(_escaped, one["loc"])]), "detail": self.shown(str(one["msg"]))}
            for one in error.errors()
        ]
        detail = "; ".join(f"{one['pointer']}: {one['detail']}" for one in found)
        typed = "json" in request.headers.get("content-type", "") or request.method not in ("POST", "PUT")
        way_out = "See /openapi.json." if typed else "Send JSON, with 'Content-Type: application/json'."
        return self.reply(request, self.body(422, "invalid-request", detail, way_out, errors=found))

    async def _http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = "too-large" if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else "http"
        detail = f"{request.method} {request.url.path}: {error.detail}"
        return self.reply(request, self.body(error.status_code, code, detail), error.headers)

    def unforeseen(self, error: Exception, where: str) -> dict[str, Any]:
        """Return the body for a bug: a number, under which the log has the details."""
        number = token_hex(4)
        _log.error("error %s in %s", number, where, exc_info=error)
        detail = f"an unexpected error; the server's log has the details as {number}"
        return self.body(500, "error", detail)


def _headers(error: WinnowError) -> dict[str, str]:
    if isinstance(error, BusyError):
        return {"retry-after": str(error.retry_after)}
    return {"www-authenticate": "Bearer"} if isinstance(error, UnauthorisedError) else {}


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
