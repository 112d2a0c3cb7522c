"""The rerank spec: one string that names a chain, e.g. `cross-encoder:20,listwise(model="qwen3:8b"):5`.

    spec    =  preset | stage { "," stage }
    stage   =  name [ "(" [ option { "," option } ] ")" ] [ ":" keep ]
    option  =  key "=" value
    value   =  number | true | false | word | "JSON string"

Spaces between the parts are allowed. `str(spec)` prints what `Spec.parse` reads.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from storage.errors import SpecError

Value = str | int | float | bool

# Recommended chains by name. None fixes its last `:k`: `top_k_rerank` does.
PRESETS: Mapping[str, str] = {
    "local": "fusion(read=16,sure=5),diversity(weight=0)",
    "fast": "fusion,diversity(weight=0)",
    "balanced": "fusion(read=16,sure=5),diversity(weight=0)",
    "accurate": "fusion(read=100),diversity(weight=0)",
}

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(?![\w./-])")
_WORD = re.compile(r"[A-Za-z_./][\w./-]*")
_KEEP = re.compile(r"\d+")
_MOST_DIGITS = 18  # every database and engine takes such a number


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: a strategy's name, its options as written, and the number of candidates to keep."""

    name: str
    options: tuple[tuple[str, Value], ...] = ()
    keep: int | None = None

    def __str__(self) -> str:
        options = ",".join(f"{key}={_printed(value)}" for key, value in self.options)
        return f"{self.name}{f'({options})' if options else ''}{'' if self.keep is None else f':{self.keep}'}"


@dataclass(frozen=True, slots=True)
class Spec:
    """A chain of stages, first to last; a preset's name is already replaced by its stages."""

    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        return ",".join(str(stage) for stage in self.stages)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per stage; the second stage of the same strategy is `listwise#2`."""
        seen: Counter[str] = Counter()
        names = []
        for stage in self.stages:
            seen[stage.name] += 1
            names.append(stage.name if seen[stage.name] == 1 else f"{stage.name}#{seen[stage.name]}")
        return tuple(names)

    @classmethod
    def parse(cls, text: str, *, top_k: int | None = None) -> Spec:
        """Read a spec. Raises SpecError, whose message points at the character.

        With `top_k`, a different last `:k` is an error too.
        """
        expanded = PRESETS.get(text.strip(), text)
        return cls(tuple(_SpecParser(expanded).spec(top_k)))


class _SpecParser:
    """A recursive-descent parser; `at` is the next character to read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keep_at = 0  # the position of the latest `:k`

    def spec(self, top_k: int | None) -> list[Stage]:
        stages = [self.stage(None)]
        while self.taken(","):
            stages.append(self.stage(_last_keep(stages)))
        if self.at < len(self.text):
            self.fail("expected ',', ':' or the end")
        last = stages[-1].keep
        if top_k is not None and last is not None and last != top_k:
            self.at = self.keep_at
            self.fail(
                f"the last stage keeps {last}, but top_k_rerank is {top_k}",
                f"Leave the last ':{last}' out, or ask for top_k_rerank={last}.",
            )
        return stages

    def stage(self, available: int | None) -> Stage:
        start = self.skip()
        name = self.match(_NAME, "expected the name of a strategy")
        if name in PRESETS:
            self.at = start
            self.fail(f"the preset {name!r} must be the whole spec", f"Write its stages: {PRESETS[name]}")
        options = self.options() if self.taken("(") else ()
        keep = self.keep(available) if self.taken(":") else None
        self.skip()
        return Stage(name, options, keep)

    def keep(self, available: int | None) -> int:
        self.keep_at = self.skip()
        keep = self.whole(self.match(_KEEP, "expected how many candidates to keep, a whole number"))
        if keep == 0 or (available is not None and keep > available):
            self.at = self.keep_at
            few = f"the stages before leave only {available}" if keep else "a stage must keep at least 1"
            self.fail(f"cannot keep {keep}: {few}")
        return keep

    def options(self) -> tuple[tuple[str, Value], ...]:
        found: dict[str, Value] = {}
        if self.taken(")"):
            return ()
        while True:
            start = self.skip()
            key = self.match(_KEY, "expected the name of an option")
            if key in found:
                self.at = start
                self.fail(f"the option {key!r} is given twice")
            if not self.taken("="):
                self.fail(f"expected '=' after {key!r}")
            found[key] = self.value()
            if self.taken(")"):
                return tuple(found.items())
            if not self.taken(","):
                self.fail("expected ',' or ')'", 'A value with other characters is quoted: model="qwen3:8b"')

    def value(self) -> Value:
        self.skip()
        if self.text[self.at : self.at + 1] == '"':
            return self.quoted()
        if number := _NUMBER.match(self.text, self.at):
            found = float(number[0]) if re.search(r"[.eE]", number[0]) else self.whole(number[0])
            if not math.isfinite(found):
                self.fail("the number is too large")
            self.at = number.end()
            return found
        word = self.match(_WORD, "expected a value")
        return {"true": True, "false": False}.get(word, word)

    def whole(self, digits: str) -> int:
        if len(digits) > _MOST_DIGITS:
            self.fail("the number is too large")
        return int(digits)

    def quoted(self) -> str:
        try:
            value, self.at = json.JSONDecoder(strict=False).raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            self.at = min(error.pos, len(self.text))
            self.fail("a quoted value does not end or holds a bad escape", 'Quote as in JSON: "a \\" b"')
        return str(value)

    def match(self, pattern: re.Pattern[str], complaint: str) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            self.fail(complaint)
        self.at = found.end()
        return found[0]

    def taken(self, character: str) -> bool:
        self.skip()
        if not self.text.startswith(character, self.at):
            return False
        self.at += 1
        return True

    def skip(self) -> int:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at

    def fail(self, complaint: str, way_out: str = "") -> NoReturn:
        found = self.text[self.at : self.at + 1]
        folded = unicodedata.normalize("NFKC", found)
        if folded != found and folded in set(":,()="):
            complaint += f"; {found!r} is full-width"
            way_out = way_out or f"Type {folded!r}."
        one_line = re.sub(r"\s", " ", self.text)
        raise SpecError(f"{complaint}\n  {one_line}\n  {_caret(self.text, self.at)}", way_out=way_out)


def _last_keep(stages: list[Stage]) -> int | None:
    return next((stage.keep for stage in reversed(stages) if stage.keep is not None), None)


def _printed(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    bare = _WORD.fullmatch(value) and not _NUMBER.match(value) and value not in ("true", "false")
    return value if bare else json.dumps(value, ensure_ascii=False)


def _caret(text: str, at: int) -> str:
    """A caret under the character at `at`; Chinese characters are two columns wide."""
    return "".join("  " if unicodedata.east_asian_width(c) in "WF" else " " for c in text[:at]) + "^"
