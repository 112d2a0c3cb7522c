"""Clients of OpenAI-compatible endpoints, sealed from the environment, and one table for their errors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from storage import secrets
from storage.chat import MAX_REPLY_BYTES
from storage.error_bodies import ReportedError, error_text
from storage.errors import WinnowError
from storage.retry_after import retry_after

T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"
_LONGEST = 300
# Bodies that are not JSON, or JSON that is not a reply.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
# A refusal because of the length of a prompt, in the words of the usual servers.
TOO_LONG = re.compile(
    r"(?i)context[ _](?:length|size|window|limit)|maximum (?:prompt|input|model|number of input)"
    r"|too many tokens|(?:prompt|input|string) (?:is )?too long|reduce the length|n_ctx|max_model_len"
    r"|exceeds? (?:the |its )?max(?:imum)? (?:number of tokens|length)|range of input length"
    r"|request too large|token limit|tokens limit exceeded|max_new_tokens.{0,12}must be"
    r"|上下文|输入.{0,8}(?:过长|超)|token.{0,6}超"
)

# What happened and what to do, by the exception's class name; a class without an entry goes by its bases, a
# status without a class of its own by `HTTP` and its number. The placeholders are fields of OpenAIEndpoint.
REASONS: dict[str, tuple[str, str]] = {
    "OpenAIError": ("the client failed", "Look at the message; `winnow doctor` asks the endpoint."),
    "APIError": ("the endpoint reported an error", "Try again, or look at the endpoint's own log."),
    "APIStatusError": ("the endpoint refused the request", "Look at the message and the endpoint's own log."),
    "too large": (
        "the endpoint sent too much",
        "Look at the endpoint's own log; llm.max_reply_bytes is the limit for chat models and rerank APIs.",
    ),
    "too long": (
        "the prompt is longer than the model's context",
        "Send fewer passages: lower answer.prompt_tokens (answers), or the stage's context= or words=.",
    ),
    "HTTP 402": ("the endpoint wants to be paid first", "Check the account's balance."),
    "APIConnectionError": (
        "the endpoint cannot be reached",
        "Check {section}.base_url and that the server runs; `winnow doctor` tries it.",
    ),
    "APITimeoutError": (
        "the endpoint did not answer in time",
        "Raise {section}.timeout_s, take a faster model, or look at the server's load.",
    ),
    "HTTP 408": ("the endpoint did not answer in time", "Raise {section}.timeout_s."),
    "APIResponseValidationError": (
        "the endpoint's reply does not follow the {api} API",
        "Check {section}.model, and that {section}.base_url ends where the API begins, usually in /v1.",
    ),
    "BadRequestError": (
        "the endpoint did not accept the request",
        "Look at the message; check {request}. If it is too long, send fewer passages.",
    ),
    "AuthenticationError": (
        "the endpoint did not accept the API key",
        "Set {section}.api_key to a valid key.",
    ),
    "OAuthError": ("the endpoint did not accept the credentials", "Set {section}.api_key to a valid key."),
    "PermissionDeniedError": (
        "the API key may not use this model",
        "Choose another {section}.model, or a key that may use it.",
    ),
    "NotFoundError": (
        "the endpoint knows neither this path nor this model",
        "Check {section}.model and {section}.base_url (usually ends in /v1); `winnow doctor` tries both.",
    ),
    "ConflictError": ("the endpoint reported a conflict", "Try again in a moment."),
    "UnprocessableEntityError": (
        "the endpoint did not understand the request",
        "Look at the message; check that the server has an OpenAI-compatible {api} API.",
    ),
    "RateLimitError": (
        "the endpoint's rate limit or quota is used up",
        "Wait, lower the concurrency, or check the account's quota.",
    ),
    "InternalServerError": (
        "the endpoint failed inside",
        "Try again later, or look at the server's own log.",
    ),
    "LengthFinishReasonError": ("the reply was cut off", "Allow more tokens for the reply."),
    "ContentFilterFinishReasonError": (
        "the endpoint's content filter stopped the reply",
        "Ask in other words, or choose another model.",
    ),
    "InvalidWebhookSignatureError": (
        "a webhook's signature is wrong",
        "winnow uses no webhooks; report this.",
    ),
    "SubjectTokenProviderError": ("the identity provider failed", "Set {section}.api_key to a valid key."),
    "WebSocketConnectionClosedError": (
        "the connection was closed",
        "winnow uses no websockets; report this.",
    ),
    "WebSocketQueueFullError": ("the connection's queue is full", "winnow uses no websockets; report this."),
}


def sealed(
    kind: Callable[..., T],
    *,
    base_url: str,
    api_key: str | None,
    timeout_s: float,
    max_retries: int,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    max_reply_bytes: int = MAX_REPLY_BYTES,
) -> T:
    """A client of that class (`openai.OpenAI`, `openai.AsyncOpenAI`) with the given key, or none.

    No credential, organisation or header from the environment is sent. A query of `base_url` goes with every
    request, as `query` and `headers` do. At most `max_reply_bytes` of a reply are read.
    Raises what the class raises.
    """
    import httpx2
    from openai import AsyncOpenAI, OpenAIError

    from storage.http_client import BoundedClient, BoundedSyncClient

    secrets.remember(api_key, *(headers or {}).values())
    address, own = split_address(base_url)
    if kind is AsyncOpenAI:
        http_client: Any = BoundedClient(
            address,
            max_reply_bytes=max_reply_bytes,
            versioned=True,
            too_large=OpenAIError,
            timeout=timeout_s,
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
        )
    else:
        http_client = BoundedSyncClient(
            address, max_reply_bytes=max_reply_bytes, too_large=OpenAIError, timeout=timeout_s
        )
    # An empty string keeps the client from looking into the environment; a None would not.
    client: Any = kind(
        api_key=api_key or "",
        admin_api_key="",
        organization="",
        project="",
        webhook_secret="",
        base_url=address,
        timeout=timeout_s,
        max_retries=max_retries,
        default_query={**own, **(query or {})},
        http_client=http_client,
    )
    client.organization = client.project = None  # an empty one would be sent
    client._custom_headers = dict(headers or {})  # without OPENAI_CUSTOM_HEADERS, which may hold a credential
    made: T = client
    return made


def split_address(base_url: str) -> tuple[str, dict[str, str]]:
    """The address below which an API's paths are, without `/chat/completions`, and the query."""
    try:
        parts = urlsplit(base_url.strip())
    except ValueError:
        return base_url, {}
    path = re.sub(r"/chat/completions/?\Z", "", parts.path)
    return urlunsplit((parts.scheme, parts.netloc, path, "", "")), dict(parse_qsl(parts.query))


def key_headers(client: Any) -> dict[str, Any]:
    """Extra headers of a request: without a key, the client must be told to send no authorization."""
    from openai import Omit

    own = {name.lower(): value for name, value in client._custom_headers.items()}
    if "authorization" in own:
        return {"Authorization": own["authorization"]}
    return {} if client.api_key else {"Authorization": Omit()}


@dataclass(frozen=True, slots=True)
class OpenAIEndpoint:
    """A model at an endpoint, as error messages name it. Failures are raised as `error`.

    `section` is the endpoint's section of the settings, `request` the settings that decide a request, `api`
    the name of the API.
    """

    model: str
    base_url: str
    error: type[WinnowError]
    section: str
    request: str
    api: str

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise whatever the client raises inside as `error`, and a ValueError as an unusable reply.

        Errors of ours pass.
        """
        import httpx2
        from openai import OpenAIError

        try:
            yield
        except WinnowError:
            raise
        except OpenAIError as error:
            raise self.translated(error) from error
        except TimeoutError as error:
            raise self._error("APITimeoutError") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise self._error("APIConnectionError", error) from error
        except ReportedError as error:
            raise self._error("APIError", error) from error
        except _UNREADABLE as error:
            raise self._error("APIResponseValidationError", error) from error

    def translated(self, error: Exception) -> WinnowError:
        """The error for an exception of the `openai` package."""
        names = [
            "too large" if "the reply is larger than" in str(error) else "",
            f"HTTP {getattr(error, 'status_code', '')}",
            *(base.__name__ for base in type(error).__mro__),
        ]
        return self._error(next(name for name in names if name in REASONS), error)

    def _error(self, name: str, error: Exception | None = None) -> WinnowError:
        fields = {**asdict(self), "base_url": self.where}
        reason, way_out = (text.format_map(fields) for text in REASONS[name])
        status = getattr(error, "status_code", None)
        headers = getattr(getattr(error, "response", None), "headers", {})
        wait = retry_after(headers.get("retry-after"))
        code = f" (HTTP {status}{f', to be tried again in {wait:g} s' if wait else ''})" if status else ""
        asked = getattr(getattr(error, "request", None), "url", None) if status in (404, 405) else None
        path = f" at {secrets.masked(str(asked))}" if asked else ""
        said = error and words(error)
        detail = f": {said}" if said else ""
        if status and status != 429 and TOO_LONG.search(detail):  # a rate limit counts tokens, too
            reason, way_out = (text.format_map(fields) for text in REASONS["too long"])
        return self.error(f"{self.model} at {self.where}: {reason}{code}{path}{detail}", way_out=way_out)

    @property
    def where(self) -> str:
        """The address without what may be secret in it."""
        return secrets.masked(self.base_url)


def said_by(error: Exception) -> str:
    """All that the endpoint says about an error, of any length and unmasked."""
    response = getattr(error, "response", None)
    found = ""
    if response is not None:
        try:
            found = error_text(response.text)
        except Exception:  # noqa: BLE001 - the body was not read, or is no text: the exception has words, too
            found = ""
    body = getattr(error, "body", None)
    return found or (error_text(body) if body else "") or str(error)


def words(error: Exception) -> str:
    """The endpoint's own words in one short, printable line, without secrets."""
    text = said_by(error)
    if error.__cause__ is not None and getattr(error, "response", None) is None:
        cause = explained(error.__cause__)
        text += "" if cause in text else f" ({cause})"
    text = secrets.masked(text)
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def explained(error: BaseException) -> str:
    """The failure of a transport in its own words, with a hint where a certificate is not trusted."""
    causes = list(_causes(error, []))
    numbers = [one.errno or 0 for one in causes if isinstance(one, OSError) and (one.errno or 0) > 0]
    found = [str(one) for one in causes if not isinstance(one, BaseExceptionGroup)]
    told = max(found, key=len) or type(error).__name__
    for reason in dict.fromkeys(os.strerror(number) for number in numbers):
        told += "" if reason in told else f" ({reason})"
    if any("CERTIFICATE_VERIFY_FAILED" in text for text in found):
        told += "; an authority of your own goes into the file that SSL_CERT_FILE names"
    return told


def _causes(error: BaseException | None, seen: list[BaseException]) -> Iterator[BaseException]:
    """An error, what it comes from, and the members of groups among them."""
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from _causes(member, seen)
        error = error.__cause__ or error.__context__
