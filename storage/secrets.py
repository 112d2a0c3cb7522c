"""Secrets in text from outside: masked before they can reach a message, a log or a page."""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"

# Shorter ones would mask ordinary words, and `ollama`, the usual dummy key of a local server.
_SHORTEST = 8
_known: set[str] = set()

# Credentials by their form: keys of the usual vendors, authorization headers, keys in queries and settings,
# and whoever asks in an address. Words that merely begin like a key (`jina-reranker-v2-base`) are none.
_FORMS = re.compile(
    r"""(?P<key>\b(?:(?:sk|pk|rk|pa|xai|or)[-_](?=[a-z-]*\d|\S{16}|\*)|(?:jina|co|hf|gsk)_)[A-Za-z0-9_*.-]{8,}
      [A-Za-z0-9*])
    | (?i:(?P<name>\b(?:(?:proxy-)?authorization|(?:x-)?api[-_ ]?key|(?:access|auth)[-_ ]?token
      |secret|password|pwd|(?<=[?&])(?:key|token|sig|signature|code|auth))["']?\s*[=:]\s*["']?))
      (?P<scheme>(?i:bearer|basic|token)\s+)?(?P<value>[^\s"',;&]{4,})
    | (?i:\b(?P<bare>bearer\s+|(?:basic|token)\s+(?=\S*[\d=])))(?P<token>[A-Za-z0-9._~+/=-]{8,})
    | (?P<url>(?<=://))(?P<asker>[^\s/?\#"'<>]+)(?=@)""",
    re.VERBOSE,
)
_PASSWORD = re.compile(r"""://[^\s/?\#"'<>:]*:?(?P<password>[^\s/?\#"'<>]+)@""")


def remember(*secrets: str | None) -> None:
    """Mask these texts wherever `masked` meets them, whatever they look like."""
    _known.update(secret for secret in secrets if secret and len(secret) >= _SHORTEST)


def masked(text: str) -> str:
    """The text with every known secret, and whatever has a credential's form, masked."""
    for secret in _known:
        if secret in text:
            text = text.replace(secret, MASK)
    return _FORMS.sub(_mask, text)


def remember_passwords(*texts: str | None) -> None:
    """Mask the passwords in the addresses of these texts, in whatever text they turn up."""
    found = [match["password"] for text in texts for match in _PASSWORD.finditer(text or "")]
    remember(*found, *map(unquote, found))


def _mask(match: re.Match[str]) -> str:
    found = match.groupdict(default="")
    return f"{found['name']}{found['scheme']}{found['bare']}{MASK}"
