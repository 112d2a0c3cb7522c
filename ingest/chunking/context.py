"""The context line of a passage, title and heading path, within a share of its tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from storage.records import Chunk


@dataclass(frozen=True, slots=True)
class Path:
    """The title and heading path of a passage, and the tokens of their line."""

    title: str
    headings: tuple[str, ...]
    tokens: int = 0


@dataclass(slots=True)
class Contexts:
    """Makes the paths of one document. `count` counts tokens, `cap` is the most in a line, and
    `characters` the most per token."""

    title: str
    count: Callable[[str], int]
    cap: int
    characters: int
    _known: dict[tuple[str, ...], Path] = field(default_factory=dict, init=False)

    def path(self, headings: tuple[str, ...]) -> Path:
        """The path within the cap: outer headings go first, then words are cut."""
        if headings not in self._known:
            self._known[headings] = self._cut(headings)
        return self._known[headings]

    def _cut(self, headings: tuple[str, ...]) -> Path:
        path = self._measured(self.title, headings)
        while path.tokens > self.cap and len(path.headings) > 1:
            path = self._measured(self.title, path.headings[1:])
        share = self.cap // (2 if path.headings else 1)
        if path.tokens > self.cap:
            path = self._measured(self._cut_to(self.title, share), path.headings)
        if path.tokens > self.cap and path.headings:
            path = self._measured(path.title, (self._cut_to(path.headings[0], share),))
        return path if path.tokens <= self.cap else Path("", ())

    def _measured(self, title: str, headings: tuple[str, ...]) -> Path:
        context = _context(title, headings)
        return Path(title, headings, self.count(f"{context}\n") if context else 0)

    def _cut_to(self, text: str, tokens: int) -> str:
        return shortened(text, tokens, self.count, self.characters)


def shortened(text: str, tokens: int, count: Callable[[str], int], characters: int) -> str:
    """As much of a text's beginning as has at most `tokens`, each of a bounded number of characters."""
    if count(text) <= tokens - 4 and len(text) <= tokens * characters:
        return text
    text = text[: tokens * characters]
    while len(text) > 1 and count(text) > tokens - 4:
        text = text[: len(text) * 3 // 4]
    return text.rstrip() + "…"


def _context(title: str, headings: tuple[str, ...]) -> str:
    return Chunk(
        id="", document_id="", source="", title=title, text="", start=0, end=0, headings=headings
    ).context
