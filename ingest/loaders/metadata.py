"""Reads the metadata of a document as values that a filter can compare."""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ingest.loaders.text import one_line
from storage.records import Meta, Scalar

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(\.\d{1,15})?")
_FRONT_MATTER = re.compile(
    r"\A(---|\+\+\+)[ \t]*\n(?![ \t]*\n)(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL
)
_KEY = re.compile(r"""^(?:"[^"\n]+"|'[^'\n]+'|[^\W\d][\w .-]*+)[ \t]*+[:=](?:\s|$|(?<==))""", re.MULTILINE)
_ENTRY = re.compile(r"^([^\W\d][\w.-]*+)[ \t]*+[:=][ \t]*+(.+)$", re.MULTILINE)
# More than anyone filters on; what is longer is text.
_MOST_FIELDS, _MOST_VALUES, _LONGEST, _DEEPEST = 50, 100, 1000, 4


def language(tag: str) -> str:
    """The language of a tag such as `zh-CN`, without script and region: `zh`."""
    return re.split("[-_]", tag.strip().lower(), maxsplit=1)[0]


def front_matter(text: str) -> tuple[dict[str, Meta], str]:
    """The fields at the head of a text (YAML between `---`, TOML between `+++`, JSON), and the text after
    them. Those of a field within a field have both names, `owner.name`.

    Lines between two rules that have no `key:`, or begin with a blank one, are text.
    """
    matter = _FRONT_MATTER.match(text)
    if matter is None:
        fields, end = _json_head(text)
    else:
        end = matter.end()
        fields = _parsed(matter[2], toml=matter[1] == "+++") if _KEY.search(matter[2]) else None
    if fields is None or _is_sentence(fields):
        return {}, text
    found: dict[str, Meta] = {}
    for name, value in islice(_flat(fields), _MOST_FIELDS):
        key, kept = one_line(name), plain(value)
        if key and kept not in (None, "", ()):
            found[key] = language(kept) if key == "lang" and isinstance(kept, str) else kept
    return found, text[end:]


def _json_head(text: str) -> tuple[Mapping[Any, Any] | None, int]:
    """An object at the head of a text that goes on below it."""
    if not text.startswith("{"):
        return None, 0
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None, 0
    return (value, end) if value and text[end:].strip() and text[end : end + 1] == "\n" else (None, 0)


def _flat(fields: Mapping[Any, Any], before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping) and depth < _DEEPEST:  # YAML may put a field into itself
            yield from _flat(value, f"{before}{name}.", depth + 1)
        else:
            yield f"{before}{name}", value


def _is_sentence(fields: Mapping[Any, Any]) -> bool:
    """True for prose between two rules that only looks like a field: `Note: the pump is off.`"""
    if len(fields) != 1:
        return False
    name, value = next(iter(fields.items()))
    known = str(name).casefold() in ("title", "description", "summary", "abstract", "标题", "摘要", "描述")
    return not known and isinstance(value, str) and value.rstrip()[-1:] in tuple(".!?。！？")


def _parsed(matter: str, *, toml: bool) -> Mapping[Any, Any] | None:
    """The fields; where the block is not quite YAML or TOML, those of its lines that are `key: value`."""
    import yaml

    try:
        value = tomllib.loads(matter) if toml else yaml.load(matter, Loader=yaml.CSafeLoader)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, RecursionError):
        return {name: _unquoted(value.rstrip()) for name, value in _ENTRY.findall(matter)} or None
    return value if isinstance(value, dict) else None


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 2 and value[0] == value[-1] and value[0] in "\"'" else value


def plain(value: Any) -> Meta:
    """A value of YAML, TOML or JSON as one that a filter compares: dates as text, lists of plain values."""
    if isinstance(value, list | tuple | set):
        values = (_scalar(item) for item in list(value)[:_MOST_VALUES])
        return tuple(item for item in values if item is not None)
    return _scalar(value)


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)  # also of a number that knows how its file writes it
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return one_line(str(value))[:_LONGEST]


def typed(text: str) -> Scalar:
    """A cell's text as a number or a truth value, if it is written as one; `007` and `1,5` are texts."""
    if found := _NUMBER.fullmatch(text):
        return float(text) if found[1] else int(text)
    return {"true": True, "false": False}.get(text.lower(), text)
