"""What the pages say, in English and Chinese: one pair a key, so that neither language can lack one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from winnow.server.pages.preferences import Language
from winnow.server.pages.words import answers, ask, base, chart, collections, compare, login, settings
from winnow.server.pages.words.reasons import in_chinese

Pair = tuple[str, str]

WORDS: Mapping[str, Pair] = {
    **base.WORDS,
    **login.WORDS,
    **ask.WORDS,
    **chart.WORDS,
    **answers.WORDS,
    **compare.WORDS,
    **collections.WORDS,
    **settings.WORDS,
}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language: `words("ask.title", n=3)`. What is filled in is escaped when it is shown."""

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key. Raises KeyError for one that does not exist."""
        english, chinese = WORDS[key]
        text = chinese if self.language == "zh" else english
        return text.format(**values) if values else text

    def counted(self, key: str, n: int, **values: object) -> str:
        """The text of `key.one` or `key.many`."""
        return self(f"{key}.one" if n == 1 else f"{key}.many", n=n, **values)

    def ordinal(self, n: int) -> str:
        """`23rd`, `第 23`."""
        if self.language == "zh":
            return f"第 {n}"
        ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
        return f"{n}{ending}"

    def refusal(self, text: str) -> str:
        """Why a document was refused: the kind that ingestion names, in this language, then the rest."""
        kind, _, rest = text.partition(": ")
        key = f"refusal.{kind}"
        return f"{self(key)}: {rest}" if key in WORDS else text

    def reason(self, text: str) -> str:
        """A stage's reason, in the reader's language as far as winnow worded it."""
        return in_chinese(text) if self.language == "zh" else text
