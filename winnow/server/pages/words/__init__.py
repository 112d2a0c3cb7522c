"""The texts of the pages in English and Chinese: a TOML file for each page, key → `en`, `zh`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from storage.reasons import Language, Reason


def catalogues() -> dict[str, dict[str, dict[Language, str]]]:
    """The texts by file and key."""
    folder = files("winnow.server.pages.words")
    return {
        entry.name: tomllib.loads(entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }


WORDS: Mapping[str, Mapping[Language, str]] = {
    key: texts for catalogue in catalogues().values() for key, texts in catalogue.items()
}


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language: `words("ask.title", n=3)`. Values are escaped by the template."""

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of a key. Raises KeyError where there is none."""
        text = WORDS[key][self.language]
        return text.format(**values) if values else text

    def counted(self, key: str, n: int, **values: object) -> str:
        """Return the text of `key.one` or `key.many`."""
        return self(f"{key}.one" if n == 1 else f"{key}.many", n=n, **values)

    def ordinal(self, n: int) -> str:
        """Return a place in a ranking: `23rd`, `第 23`."""
        if self.language == "zh":
            return f"第 {n}"
        ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
        return f"{n}{ending}"

    def reason(self, text: str) -> str:
        """Render a reason; plain text (a user's own stage, a row of an older version) stays as it is."""
        return Reason.of(text).render(self.language)

    def stage(self, name: str) -> str:
        """Return a stage's name in this language; a rerank stage keeps the one it has in specs."""
        key = f"stage.{name}"
        return self(key) if key in WORDS else name

    def check(self, name: str) -> str:
        """Return the name of one of doctor's checks in this language; a collection keeps its own."""
        key = f"doctor.{name}"
        if key in WORDS:
            return self(key)
        return self("doctor.collection", name=name.removeprefix("collection "))

    def problem(self, status: int) -> str:
        """Return the heading of an error page."""
        key = f"problem.{status}"
        return self(key if key in WORDS else "problem.other")
