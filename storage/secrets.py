"""Secrets in text from outside: masked before they can reach a message, a log or a page."""

from __future__ import annotations

import re

MASK = "***"

# Shorter ones would mask ordinary words, and `ollama`, the usual dummy key of a local server.
_SHORTEST = 8
_known: set[str] = set()

# Credentials by their form: keys of the usual vendors, authorization headers, passwords within URLs.
_FORMS = re.compile(
    r"""(?P<key>\b(?:sk|pk|rk|jina|pa|co|hf|gsk|xai|or)[-_][A-Za-z0-9_*.-]{8,}[A-Za-z0-9*])
    | (?i:\b(?P<scheme>bearer|basic|token)\s+)(?P<token>[A-Za-z0-9._~+/=-]{8,})
    | (?i:(?P<name>\b(?:api[-_ ]?key|access[-_ ]?token|secret|password)["']?\s*[=:]\s*["']?))
      (?P<value>[^\s"',;&]{4,})
    | (?P<url>[a-z][a-z0-9+.-]*://[^\s/:@]*:)(?P<password>[^\s/@]+)(?=@)""",
    re.VERBOSE,
)


def remember(*secrets: str | None) -> None:
    """Mask these texts wherever `masked` meets them, whatever they look like."""
    _known.update(secret for secret in secrets if secret and len(secret) >= _SHORTEST)


def masked(text: str) -> str:
    """The text with every known secret, and whatever has a credential's form, masked."""
    for secret in _known:
        if secret in text:
            text = text.replace(secret, MASK)
    return _FORMS.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    found = match.groupdict(default="")
    if found["key"]:
        return MASK
    if found["token"]:
        return f"{found['scheme']} {MASK}"
    return f"{found['name'] or found['url']}{MASK}"
