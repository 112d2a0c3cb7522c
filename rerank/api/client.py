"""One request to a rerank API, retried after passing failures; Retry-After is honoured, with jitter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from storage.error_bodies import error_text, snippet
from storage.http_client import ReplyTooLargeError
from storage.openai_client import explained
from storage.retry_after import retry_after
from storage.secrets import masked

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 60.0


class ApiError(Exception):
    """A request without a usable reply. `status` is 0 without a response, `retry_after` in seconds."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class PassingError(ApiError):
    """A failure that may pass, so that a retry is worthwhile."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, the key for it, and how to wait and retry."""

    url: str
    key: str | None = None
    timeout_s: float = 30.0
    retries: int = 2
    backoff_s: float = 0.5


async def posted(client: httpx2.AsyncClient, address: Address, body: Mapping[str, object]) -> Any:
    """The reply's JSON. Raises ApiError."""
    headers = {"authorization": f"Bearer {address.key}"} if address.key else {}
    try:
        with anyio.fail_after(address.timeout_s):
            response = await client.post(address.url, json=body, headers=headers)
    except TimeoutError:
        raise PassingError(f"no answer within {address.timeout_s:g} s") from None
    except httpx2.TransportError as error:
        said = masked(explained(error))
        raise PassingError(f"the connection failed ({type(error).__name__}: {said})") from error
    except ReplyTooLargeError as error:
        raise ApiError(str(error)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ApiError(masked(f"{type(error).__name__}: {error}")) from error
    if response.status_code in _PASSING:
        wait = retry_after(response.headers.get("retry-after"))
        raise PassingError(_refused(response), status=response.status_code, retry_after=wait)
    if not response.is_success:
        raise ApiError(_refused(response), status=response.status_code)
    try:
        return response.json()
    except (ValueError, RecursionError):
        raise PassingError(f"the reply is not JSON: {snippet(response.text)}") from None


def retrying(address: Address, longest_s: float) -> AsyncRetrying:
    """Attempts, with pauses of at most `longest_s` (the time until the deadline)."""
    backoff = wait_random_exponential(multiplier=address.backoff_s, max=8)
    longest = min(longest_s, _LONGEST_WAIT_S)

    def requested(state: RetryCallState) -> float | None:
        error = state.outcome.exception() if state.outcome else None
        return error.retry_after if isinstance(error, PassingError) else None

    def pause(state: RetryCallState) -> float:
        wait = requested(state)
        # a little more than requested, never less, so that many clients do not come back at once
        return backoff(state) if wait is None else wait + backoff(state) / 10

    enough = stop_after_attempt(address.retries + 1)
    return AsyncRetrying(
        stop=lambda state: enough(state) or (requested(state) or 0) > longest,
        wait=pause,
        retry=retry_if_exception_type(PassingError),
        sleep=anyio.sleep,
        reraise=True,
    )


def _refused(response: httpx2.Response) -> str:
    asked = f" at {masked(str(response.request.url))}" if response.status_code in (404, 405) else ""
    told = response.headers.get("location") if response.is_redirect else None
    said = f"it says to ask {told}" if told else error_text(response.text) or response.text
    return f"HTTP {response.status_code}{asked}: {snippet(said)}"
