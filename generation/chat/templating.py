"""Prompt templates in two languages, ours or the user's, checked on loading."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal

from storage.errors import SettingsError
from storage.reasons import LANGUAGES, Language

Kind = Literal["system", "user", "rewrite", "decompose", "multi-query", "hyde", "situate"]

_NEEDED: dict[str, frozenset[str]] = {
    "system": frozenset(),
    "user": frozenset({"passages", "question"}),
    "rewrite": frozenset({"turns", "question"}),
    "decompose": frozenset({"question"}),
    "multi-query": frozenset({"question"}),
    "hyde": frozenset({"question"}),
    "situate": frozenset({"document", "passage"}),
}
_OPTIONAL = {"user": frozenset({"fence"}), "situate": frozenset({"fence", "title"})}
NAMES = tuple(f"{kind}.{language}" for kind in _NEEDED for language in LANGUAGES)


@dataclass(frozen=True, slots=True)
class Templates:
    """Texts by name (`system.en`, …), as `string.Template`s."""

    texts: tuple[tuple[str, str], ...]

    @classmethod
    def load(cls, folder: Path | None = None) -> Templates:
        """Load winnow's own templates; files `system.en.txt`, … in `folder` take the place of ours.

        Raises SettingsError if a file cannot be read, or lacks or misnames a placeholder.
        """
        known = ", ".join(f"{name}.txt" for name in NAMES)
        if folder is not None and not folder.is_dir():
            raise SettingsError(
                f"the folder of prompt templates does not exist: {folder}",
                way_out=f"Make it, with one or more of {known}.",
            )
        for stray in sorted(folder.glob("*.txt")) if folder is not None else ():
            if stray.stem not in NAMES:
                raise SettingsError(
                    f"no prompt template has the name {stray.name}", way_out=f"Known: {known}."
                )
        return cls(tuple((name, _checked(name, _read(name, folder))) for name in NAMES))

    @property
    def fingerprint(self) -> str:
        """A hash of all templates that questions need, which identifies the wording."""
        asked = (text for name, text in self.texts if not name.startswith("situate"))
        return hashlib.sha256("\0".join(asked).encode()).hexdigest()[:16]

    def filled(self, kind: Kind, language: Language, **values: str) -> str:
        """A template with its placeholders filled in."""
        return Template(dict(self.texts)[f"{kind}.{language}"]).substitute(values).strip()


def _read(name: str, folder: Path | None) -> str:
    own = folder / f"{name}.txt" if folder is not None else None
    try:
        if own is not None and own.exists():
            return own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the prompt template {own} cannot be read: {error}", way_out="It must be a text file in UTF-8."
        ) from error
    return (resources.files("generation.chat") / "templates" / f"{name}.txt").read_text(encoding="utf-8")


def _checked(name: str, text: str) -> str:
    template, kind = Template(text), name.partition(".")[0]
    needed = _NEEDED[kind]
    allowed = needed | _OPTIONAL.get(kind, frozenset())
    used = frozenset(template.get_identifiers())
    if not template.is_valid() or used - allowed:
        wrong = ", ".join(f"${one}" for one in sorted(used - allowed)) or "a lone $"
        raise SettingsError(
            f"the prompt template {name}.txt holds {wrong}",
            way_out=f"Filled in: {_listed(allowed) or 'nothing'}. Write $$ for a dollar sign.",
        )
    if missing := needed - used:
        raise SettingsError(f"the prompt template {name}.txt misses {_listed(missing)}", way_out="Add it.")
    return text


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names))
