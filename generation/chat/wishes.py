"""Optional parts of a chat request: asked for, left out once an endpoint refuses them, and remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Optional parts of a request: their keys, and the words by which a refusal (HTTP 400 or 422) names them.
_OPTIONAL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "schema": (("response_format",), ("response_format", "json_schema", "schema", "structured")),
    "logprobs": (("logprobs", "top_logprobs"), ("logprob",)),
    "temperature": (("temperature",), ("temperature",)),
    "usage in streams": (("stream_options",), ("stream_options", "include_usage")),
}
_UNNAMED = ("schema", "logprobs", "usage in streams")
_OTHER_LIMIT = "other limit"
_LIMITS = ("max_tokens", "max_completion_tokens")
_UNKNOWN = ("unsupported", "not supported", "unrecognized", "unknown", "unexpected", "extra", "not permitted")


@dataclass(slots=True)
class Wishes:
    """The optional parts that one endpoint refuses.

    The limit of a reply is called `max_tokens`, or `max_completion_tokens` for OpenAI's newer models;
    whichever is refused is replaced by the other.
    """

    new_limit_name: bool = False
    refused: set[str] = field(default_factory=set)

    def applied(self, body: Mapping[str, Any], refused: set[str]) -> dict[str, Any]:
        """The request without the refused parts."""
        left_out = {key for wish in refused & _OPTIONAL.keys() for key in _OPTIONAL[wish][0]}
        wanted = {key: value for key, value in body.items() if key not in left_out}
        if self.new_limit_name != (_OTHER_LIMIT in refused):
            wanted["max_completion_tokens"] = wanted.pop("max_tokens")
        return wanted

    def remember(self, refused: set[str]) -> None:
        """Remember refusals once a request succeeded without these parts, which proves them the cause."""
        self.refused |= refused


def refused_by(message: str, wanted: Mapping[str, Any], refused: set[str]) -> set[str]:
    """The parts to leave out of `wanted` next, judging by the endpoint's message; empty if none is left."""
    said = message.lower()
    here = {wish for wish, (keys, _) in _OPTIONAL.items() if any(key in wanted for key in keys)}
    named = {wish for wish in here if any(word in said for word in _OPTIONAL[wish][1])}
    limit_unknown = any(limit in said for limit in _LIMITS) and any(word in said for word in _UNKNOWN)
    if limit_unknown and _OTHER_LIMIT not in refused:
        named.add(_OTHER_LIMIT)
    return named or here.intersection(_UNNAMED)
