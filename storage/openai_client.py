"""Clients of OpenAI-compatible endpoints, sealed from the environment, and one table for their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from storage.errors import WinnowError

T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"
_LONGEST = 300

# What happened and what to do, by the exception's class name; a class without an entry goes by its bases, a
# status without a class of its own by `HTTP` and its number. The placeholders are fields of OpenAIEndpoint.
REASONS: dict[str, tuple[str, str]] = {
    "OpenAIError": ("the client failed", "Look at the message; `winnow doctor` asks the endpoint."),
    "APIError": ("the endpoint reported an error", "Try again, or look at the endpoint's own log."),
    "APIStatusError": ("the endpoint refused the request", "Look at the message and the endpoint's own log."),
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
    kind: Callable[..., T], *, base_url: str, api_key: str | None, timeout_s: float, max_retries: int
) -> T:
    """A client of that class (`openai.OpenAI`, `openai.AsyncOpenAI`) with the given key, or none.

    No credential, organisation or header from the environment is sent. Raises what the class raises.
    """
    # An empty string keeps the client from looking into the environment; a None would not.
    client: Any = kind(
        api_key=api_key or "",
        admin_api_key="",
        organization="",
        project="",
        webhook_secret="",
        base_url=base_url,
        timeout=timeout_s,
        max_retries=max_retries,
    )
    client.organization = client.project = None  # an empty one would be sent
    client._custom_headers = {}  # those of OPENAI_CUSTOM_HEADERS, which may hold a credential
    made: T = client
    return made


def key_headers(client: Any) -> dict[str, Any]:
    """Extra headers of a request: without a key, the client must be told to send no authorization."""
    from openai import Omit

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
        except ValueError as error:  # a body that is not JSON, or JSON that is not a reply
            raise self._error("APIResponseValidationError", error) from error

    def translated(self, error: Exception) -> WinnowError:
        """The error that stands for an exception of the `openai` package."""
        names = [
            f"HTTP {getattr(error, 'status_code', '')}",
            *(base.__name__ for base in type(error).__mro__),
        ]
        return self._error(next(name for name in names if name in REASONS), error)

    def _error(self, name: str, error: Exception | None = None) -> WinnowError:
        reason, way_out = (text.format_map(asdict(self)) for text in REASONS[name])
        status = getattr(error, "status_code", None)
        code = f" (HTTP {status})" if status else ""
        said = error and words(error)
        detail = f": {said}" if said else ""
        return self.error(f"{self.model} at {self.base_url}: {reason}{code}{detail}", way_out=way_out)


def words(error: Exception) -> str:
    """The endpoint's own words in one short, printable line."""
    body = getattr(error, "body", None)
    message = body.get("message") or body.get("error") if isinstance(body, dict) else None
    text = message if isinstance(message, str) else str(error)
    cause = error.__cause__
    if cause is not None and str(cause):
        text += f" ({cause})"
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
