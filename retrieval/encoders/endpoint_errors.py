"""Every failure of an embeddings endpoint as a ModelError that names the reason and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from retrieval.encoders.endpoint_reply import UnusableReplyError
from storage.errors import ModelError, WinnowError

_LONGEST = 300

# By HTTP status; what is not here is a refusal like any other.
_REASONS: dict[int, tuple[str, str]] = {
    400: ("did not accept the request", "Look at the message; check encoder.model and encoder.dim."),
    401: ("did not accept the API key", "Set encoder.api_key to a valid key."),
    402: ("wants to be paid first", "Check the account's balance."),
    403: ("does not let this key use the model", "Choose another encoder.model, or a key that may use it."),
    404: (
        "knows neither this path nor this model",
        "Check encoder.model and encoder.base_url, which usually ends in /v1.",
    ),
    408: ("did not answer in time", "Raise encoder.timeout_s."),
    422: ("did not understand the request", "Look at the message; check encoder.dim."),
    429: ("has no more room under its rate limit or quota", "Wait, or check the account's quota."),
}
_BROKEN = ("failed inside", "Try again later, or look at the server's own log.")
_REFUSED = ("refused the request", "Look at the message and the server's own log.")
_UNREACHABLE = ("cannot be reached", "Check encoder.base_url and that the server runs.")
_SLOW = ("did not answer in time", "Raise encoder.timeout_s, or look at the server's load.")
_NO_JSON = (
    "sent what is no reply of an embeddings API",
    "Check that encoder.base_url ends where the API begins, usually in /v1.",
)
_CHECK_THE_SERVER = (
    "Check encoder.model, encoder.dim (leave it out where the server does not heed it), and that the server "
    "speaks OpenAI's embeddings API."
)


@contextmanager
def translated(model: str, base_url: str) -> Iterator[None]:
    """Turns whatever the client raises inside into a ModelError; errors of ours pass."""
    import httpx2
    from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

    try:
        yield
    except WinnowError:
        raise
    except UnusableReplyError as error:
        raise ModelError(
            f"the embeddings of {model} at {base_url}: {error}", way_out=_CHECK_THE_SERVER
        ) from error
    except APIStatusError as error:
        raise _error(_of_status(error.status_code), error, model, base_url, error.status_code) from error
    except APITimeoutError as error:
        raise _error(_SLOW, error, model, base_url) from error
    except (APIConnectionError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _error(_UNREACHABLE, error, model, base_url) from error
    except (OpenAIError, ValueError) as error:  # a body that is no JSON, among others
        raise _error(_NO_JSON, error, model, base_url) from error


def words(error: Exception) -> str:
    """The endpoint's own words in one short, printable line."""
    body = getattr(error, "body", None)
    found = body.get("message") or body.get("error") if isinstance(body, dict) else None
    text = found if isinstance(found, str) else str(error)
    cause = error.__cause__
    if cause is not None and str(cause):
        text += f" ({cause})"
    line = " ".join(re.sub(r"[^\S ]+", " ", text).split())
    line = "".join(character if character.isprintable() else " " for character in line)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _of_status(status: int) -> tuple[str, str]:
    return _REASONS.get(status, _BROKEN if status >= 500 else _REFUSED)


def _error(
    explained: tuple[str, str], error: Exception, model: str, base_url: str, status: int | None = None
) -> ModelError:
    reason, way_out = explained
    code = f" (HTTP {status})" if status else ""
    return ModelError(
        f"the embeddings endpoint {base_url} ({model}) {reason}{code}: {words(error)}", way_out=way_out
    )
