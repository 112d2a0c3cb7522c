"""Clients of OpenAI-compatible endpoints that take nothing from the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def sealed(
    kind: Callable[..., T], *, base_url: str, api_key: str | None, timeout_s: float, max_retries: int
) -> T:
    """A client of that class (`openai.OpenAI`, `openai.AsyncOpenAI`) with the key that is given, or none.

    No credential, organisation or header that lies in the environment is sent. Raises what the class raises.
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
