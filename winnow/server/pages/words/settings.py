"""What the page `settings` says."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {}
