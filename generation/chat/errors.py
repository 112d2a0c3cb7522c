"""Every failure of the `openai` package as a ChatError that names the reason and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import ChatError, WinnowError

_LONGEST = 300

# By the exception's class name; a class that is not here is looked up by its bases.
REASONS: dict[str, tuple[str, str]] = {
    "OpenAIError": (
        "the chat client failed",
        "Look at the message; `winnow doctor` asks the endpoint for its models.",
    ),
    "APIError": ("the endpoint reported an error", "Try again, or look at the endpoint's own log."),
    "APIStatusError": ("the endpoint refused the request", "Look at the message and the endpoint's own log."),
    "APIConnectionError": (
        "the endpoint cannot be reached",
        "Check llm.base_url and that the server runs; `winnow doctor` tries it.",
    ),
    "APITimeoutError": (
        "the endpoint did not answer in time",
        "Raise llm.timeout_s, or take a faster model.",
    ),
    "APIResponseValidationError": (
        "the endpoint sent what is no chat completion",
        "Check that llm.base_url ends where the API begins, usually in /v1.",
    ),
    "BadRequestError": (
        "the endpoint did not accept the request",
        "Where it is too long for the model, send fewer passages; otherwise look at the message.",
    ),
    "AuthenticationError": ("the endpoint did not accept the API key", "Set llm.api_key to a valid key."),
    "OAuthError": ("the endpoint did not accept the credentials", "Set llm.api_key to a valid key."),
    "PermissionDeniedError": (
        "the API key may not use this model",
        "Choose another llm.model, or a key that may use it.",
    ),
    "NotFoundError": (
        "the endpoint knows neither this path nor this model",
        "Check llm.model and llm.base_url (usually ends in /v1); `winnow doctor` lists the models.",
    ),
    "ConflictError": ("the endpoint reported a conflict", "Try again in a moment."),
    "UnprocessableEntityError": (
        "the endpoint did not understand the request",
        "Check that it speaks OpenAI's chat completions; look at the message.",
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
    "SubjectTokenProviderError": ("the identity provider failed", "Set llm.api_key to a valid key."),
    "WebSocketConnectionClosedError": (
        "the connection was closed",
        "winnow uses no websockets; report this.",
    ),
    "WebSocketQueueFullError": ("the connection's queue is full", "winnow uses no websockets; report this."),
}


@contextmanager
def translated(model: str, base_url: str) -> Iterator[None]:
    """Turns whatever the client raises inside into a ChatError; errors of ours pass."""
    import httpx2
    from openai import OpenAIError

    try:
        yield
    except WinnowError:
        raise
    except OpenAIError as error:
        raise chat_error(error, model, base_url) from error
    except TimeoutError as error:
        reason, way_out = REASONS["APITimeoutError"]
        raise ChatError(f"{_who(model, base_url)}: {reason}", way_out=way_out) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise _wrapped("APIConnectionError", error, model, base_url) from error
    except ValueError as error:  # a body that is no JSON, or JSON that is no completion
        raise _wrapped("APIResponseValidationError", error, model, base_url) from error


def chat_error(error: Exception, model: str, base_url: str) -> ChatError:
    """The ChatError of an exception of the `openai` package."""
    name = next(base.__name__ for base in type(error).__mro__ if base.__name__ in REASONS)
    return _wrapped(name, error, model, base_url)


def _wrapped(name: str, error: Exception, model: str, base_url: str) -> ChatError:
    reason, way_out = REASONS[name]
    status = getattr(error, "status_code", None)
    parts = [f"{_who(model, base_url)}: {reason}", f" (HTTP {status})" if status else ""]
    if detail := _detail(error):
        parts.append(f": {detail}")
    return ChatError("".join(parts), way_out=way_out)


def _who(model: str, base_url: str) -> str:
    return f"{model} at {base_url}"


def _detail(error: Exception) -> str:
    """The endpoint's own words in one short, printable line."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    cause = error.__cause__
    text = str(message or error) + (f" ({cause})" if cause is not None and str(cause) else "")
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
