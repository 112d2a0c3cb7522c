"""Reasons: why a stage did not go as asked, why a document was refused, what a warning warns of.

A reason is a code and values. It prints in English and renders in Chinese on request; both texts come from
the catalogue `reasons.toml` of the folder that the code names: `rerank.budget-spent` is found in
`rerank/reasons.toml`. Nothing reads a reason's text: programs compare `code` and `values`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from string import Formatter
from types import MappingProxyType
from typing import Any, Literal

from storage.secrets import masked

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

# The folders with a catalogue.
FOLDERS = ("storage", "ingest", "retrieval", "rerank", "generation", "winnow.app", "winnow.upkeep")

TEXT = "text"
ALL = "all"
_BETWEEN: Mapping[Language, str] = {"en": "; ", "zh": "；"}


class Reason(str):
    """A code and values that read as an English sentence.

    As text it is that sentence, so it prints, compares and serialises like any other; `render` gives it in
    another language. Values are numbers, texts, other reasons, or lists of those. Text among them comes from
    outside (a model, a server, a file), so secrets in it are masked. Raises KeyError for a code that no
    catalogue has or a value that its text lacks.
    """

    code: str
    values: Mapping[str, Any]

    def __new__(cls, code: str, values: Mapping[str, Any] | None = None, /, **named: Any) -> Reason:
        given = {name: _clean(value) for name, value in {**(values or {}), **named}.items()}
        reason = super().__new__(cls, _rendered(code, given, "en"))
        reason.code = code
        reason.values = MappingProxyType(given)
        return reason

    def __reduce__(self) -> tuple[type[Reason], tuple[str, dict[str, Any]]]:
        return Reason, (self.code, dict(self.values))

    @classmethod
    def of(cls, text: str) -> Reason:
        """The reason itself, or a plain text (a user's own stage, an old row) as one."""
        return text if isinstance(text, Reason) else cls(TEXT, text=text)

    @classmethod
    def all(cls, reasons: Iterable[str]) -> Reason:
        """Several reasons as one; repeated and empty ones count once or not at all."""
        parts = [cls.of(reason) for reason in dict.fromkeys(filter(None, reasons))]
        return parts[0] if len(parts) == 1 else cls(ALL, parts=parts)

    @property
    def parts(self) -> tuple[Reason, ...]:
        """The reasons that this one joins, or itself."""
        return tuple(self.values["parts"]) if self.code == ALL else (self,)

    def render(self, language: Language) -> str:
        """The sentence in a language."""
        return _rendered(self.code, self.values, language)

    def to_json(self) -> dict[str, Any]:
        """`{"code": …, "values": {…}}`, as the log keeps it and JSON shows it."""
        return {"code": self.code, "values": {name: _to_json(value) for name, value in self.values.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | str | None, text: str = "") -> Reason:
        """Return the reason that `to_json` described; a sentence (an old row's) is one as it is.

        `text` is the sentence logged with it, which is all there is where `value` is None. It also replaces
        a reason that has, or holds in its values, a code or value that this version no longer has.
        """
        if value is None or isinstance(value, str):
            return cls.of(value or text)
        try:
            return _reason_from(value)
        except (KeyError, ValueError):
            return cls.of(text or value.get("text", ""))


@lru_cache
def catalogue(folder: str) -> Mapping[str, Mapping[str, str]]:
    """The texts of a folder: code (without the folder) → language → text."""
    import tomllib

    text = files(folder).joinpath("reasons.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _rendered(code: str, values: Mapping[str, Any], language: Language) -> str:
    if code == TEXT:
        return str(values["text"])
    if code == ALL:
        return _shown(values["parts"], language)
    folder, _, name = code.rpartition(".")
    return _FORMATTER.vformat(
        catalogue(folder)[name][language], (), {key: _shown(value, language) for key, value in values.items()}
    )


class _Counting(Formatter):
    """Format strings with `{n:passage|passages}` (the first word for one) and `{size:,}` (thousands)."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if "|" in format_spec:
            one, many = format_spec.split("|")
            return one if str(value) == "1" else many
        if format_spec == ",":
            return f"{int(value):,}"
        return str(value)


_FORMATTER = _Counting()


def _shown(value: Any, language: Language) -> str:
    if isinstance(value, Reason):
        return value.render(language)
    if isinstance(value, list | tuple):
        between = _BETWEEN[language] if any(isinstance(one, Reason) for one in value) else ", "
        return between.join(_shown(one, language) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _clean(value: Any) -> Any:
    if isinstance(value, Reason) or not isinstance(value, str | list | tuple):
        return value
    return masked(value) if isinstance(value, str) else tuple(_clean(one) for one in value)


def _to_json(value: Any) -> Any:
    if isinstance(value, Reason):
        return value.to_json()
    return (
        [_to_json(one) for one in value]
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
    )


def _reason_from(data: Mapping[str, Any]) -> Reason:
    """Return a reason, with those in its values. Raises KeyError or ValueError where one is not known."""
    return Reason(data["code"], {name: _value_from(value) for name, value in data["values"].items()})


def _value_from(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _reason_from(value)
    return [_value_from(one) for one in value] if isinstance(value, list) else value


def coded(reason: str) -> dict[str, Any] | None:
    """Return a reason as `Reason.to_json` does; None for plain text, which its sentence gives in full."""
    reason = Reason.of(reason)
    return None if reason.code == TEXT else reason.to_json()


def storable(reason: str) -> dict[str, Any] | str:
    """Return a reason as JSON with its English sentence, for a version that lacks its code; text stays text.

    `Reason.from_json` reads both.
    """
    data = coded(reason)
    return str(reason) if data is None else {**data, "text": str(reason)}
