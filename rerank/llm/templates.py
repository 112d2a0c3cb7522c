"""Prompts: template files in English and Chinese, chosen by the question's script, overridable by a folder.

A template is a system message, a line `---`, and a user message with `$question`, `$passages`, `$count`
and `$top`. Passages are untrusted: each is fenced and numbered, and cannot close its fence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from storage.chat import Message
from storage.control_tokens import harmless
from storage.errors import SettingsError

_OWN = Path(__file__).parent / "prompts"
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN = re.compile(r"[A-Za-z]+")
_HARMLESS = "<\u200b"  # a zero-width space keeps the text readable
_FENCE = re.compile(r"<(?=\s*/?\s*passage)", re.IGNORECASE)
# One unit: a Han character or kana, or a word of anything else.
_UNIT = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


def language_of(question: str) -> str:
    """`zh` where the question has at least as many Chinese characters as Latin words, otherwise `en`."""
    characters = len(_HAN.findall(question))
    return "zh" if characters and characters >= len(_LATIN.findall(question)) else "en"


def clipped(text: str, units: int) -> str:
    """The first `units` words of a text (a Chinese or Japanese character counts as one), spaces collapsed."""
    text = " ".join(text.split())
    for number, unit in enumerate(_UNIT.finditer(text), start=1):
        if number > units:
            return text[: unit.start()].rstrip()
    return text


def fenced(labels: Sequence[str], texts: Sequence[str]) -> str:
    """Passages between numbered fences. Their own `<passage`, `</passage` and control tokens are broken."""
    return "\n".join(
        f'<passage id="{label}">\n{_FENCE.sub(_HARMLESS, harmless(text))}\n</passage>'
        for label, text in zip(labels, texts, strict=True)
    )


class RerankPrompts:
    """The prompts of one folder, with winnow's (in `home`) for files that the folder lacks.

    The user text of each must have the `needed` fields.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        home: Path = _OWN,
        needed: Sequence[str] = ("question", "passages"),
    ) -> None:
        self._folder = folder
        self._home = home
        self._needed = needed
        self._read: dict[tuple[str, str], str] = {}

    def messages(self, name: str, language: str, **fields: str) -> tuple[Message, ...]:
        """A template, filled in. Raises SettingsError for an unusable template."""
        system, user = self._parts(name, language)
        try:
            return (Message("system", system), Message("user", Template(user).substitute(fields)))
        except (KeyError, ValueError) as error:
            raise SettingsError(
                f"the prompt {language}/{name}.txt cannot be filled in: {error}",
                way_out=f"Fields: {', '.join(f'${field}' for field in fields)}. A dollar sign is written $$.",
            ) from error

    def text(self, name: str, language: str) -> str:
        """A template's text."""
        if (name, language) not in self._read:
            own = None if self._folder is None else self._folder / language / f"{name}.txt"
            path = own if own is not None and own.is_file() else self._home / language / f"{name}.txt"
            self._read[name, language] = _contents(path)
        return self._read[name, language]

    def _parts(self, name: str, language: str) -> tuple[str, str]:
        system, fence, user = self.text(name, language).partition("\n---\n")
        needed = [f"${field}" for field in self._needed]
        if not fence or any(field not in user for field in needed):
            raise SettingsError(
                f"the prompt {language}/{name}.txt is not usable",
                way_out=f"It needs a system text, a line '---', and a user text with {' and '.join(needed)}.",
            )
        return system.strip(), user.strip()


def _contents(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the prompt {path} cannot be read: {error}") from error
