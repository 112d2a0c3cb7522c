"""Parses filters over passages: one small language for Python, shell and HTTP.

    lang = "zh" and year >= 2020
    source contains "notes/" and not (draft = true or author is null)
    published >= "2024-01-01" and tag in ("rerank", "retrieval")

A field is one of a passage's own (`source`, `title`, `document_id`, `page`, `ordinal`, `headings`, `legible`,
`text`, `start`, `end`), otherwise a key of the documents' metadata; `metadata.title` reaches a key that is
also the name of one of ours, and backticks hold anything but plain words: `` `dc:date` = "2024" ``.

    filter     := all ("or" all)*
    all        := one ("and" one)*
    one        := "not" one | "(" filter ")" | comparison
    comparison := field ("=" | "!=" | "<" | "<=" | ">" | ">=") value
                | field ["not"] "in" "(" value ("," value)* ")"
                | field ["not"] "contains" text
                | field "is" ["not"] "null"
    value      := text in quotes | number | true | false

Order compares numbers, or dates written as "2024-01-31" (also with a time; UTC where no zone is given).
`contains` looks for a piece of text, letter by letter. A field that a passage does not have is null: it
equals nothing, so that `lang != "zh"` finds it. A list (`headings`) matches where one of its values does.
Words are read in any case; values are compared as they are written.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from storage.errors import BadInputError
from storage.qdrant.conditions import (
    FIELDS,
    METADATA,
    UNREACHABLE,
    Absent,
    All,
    Among,
    AnyOf,
    Condition,
    Contains,
    Equals,
    Not,
    Order,
    Ordered,
    Value,
)
from storage.qdrant.payload_indexes import DATE

# Deeper nesting than anyone writes; the parser's own stack is safe well beyond it.
_DEEPEST = 50

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<quoted>`[^`]+`)
    | (?P<word>[^\W\d][\w-]*(?:\.[\w-]+)*)
    | (?P<sign><=|>=|!=|==|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "contains", "true", "false"})
_CURLY = "“”‘’„「」『』＂＇"


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of a filter: `kind` is text, number, quoted, word, sign or end; `at` counts from 0."""

    kind: str
    text: str
    at: int

    def means(self, word: str) -> bool:
        """Return whether it is this sign or (in any case) this keyword."""
        return self.kind in ("word", "sign") and self.text.lower() == word


def parse_filter(text: str) -> Condition:
    """Return the condition of a filter's text. Raises BadInputError, which points at the character."""
    return _FilterParser(text).parse()


class _FilterParser:
    """Parses one filter's text by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._read()
        self._next = 0
        self._depth = 0

    def parse(self) -> Condition:
        """Parse the whole text. Raises BadInputError."""
        if self._peek.kind == "end":
            raise self._error("the filter is empty")
        condition = self._any()
        if self._peek.kind != "end":
            raise self._error("expected `and`, `or` or the end")
        return condition

    def _any(self) -> Condition:
        parts = self._joined("or", self._all)
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Condition:
        parts = self._joined("and", self._one)
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _joined(self, word: str, part: Callable[[], Condition]) -> list[Condition]:
        parts = [part()]
        while self._accept(word):
            parts.append(part())
        return parts

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"nested deeper than {_DEEPEST}")
        condition = self._negation_or_group()
        self._depth -= 1
        return condition

    def _negation_or_group(self) -> Condition:
        if self._accept("not"):
            return Not(self._one())
        if self._accept("("):
            condition = self._any()
            self._expect(")")
            return condition
        return self._comparison()

    def _comparison(self) -> Condition:
        field = self._field()
        if self._accept("is"):
            negated = self._accept("not")
            self._expect("null")
            return _negated(Absent(field), negated)
        negated = self._accept("not")
        if self._accept("in"):
            return _negated(Among(field, self._values()), negated)
        if self._accept("contains"):
            return _negated(Contains(field, self._piece()), negated)
        if negated:
            raise self._error("expected `in` or `contains` after `not`")
        return self._operator(field)

    def _operator(self, field: str) -> Condition:
        if self._accept("=") or self._accept("=="):
            return Equals(field, self._value())
        if self._accept("!=") or self._accept("<>"):
            return Not(Equals(field, self._value()))
        for order in get_args(Order):
            if self._accept(order):
                return Ordered(field, order, self._bound())
        raise self._error("expected one of = != < <= > >= in contains is")

    def _field(self) -> str:
        token = self._peek
        if token.kind == "quoted":
            self._next += 1
            name = token.text[1:-1]
            if odd := UNREACHABLE.intersection(name):
                raise self._error(f"a field's name cannot hold a {min(odd)}", token)
        elif token.kind == "word" and token.text.lower() not in _KEYWORDS:
            self._next += 1
            name = token.text
        else:
            raise self._error("expected a field")
        explicit = name.removeprefix(f"{METADATA}.")
        # `metadata.year` and `year` are one field, `metadata.title` and `title` are two
        return name if explicit in FIELDS else explicit

    def _values(self) -> tuple[Value, ...]:
        self._expect("(")
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _value(self) -> Value:
        token = self._peek
        if token.kind == "text":
            self._next += 1
            return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        if token.kind == "number":
            self._next += 1
            return self._number(token)
        if self._accept("true"):
            return True
        if self._accept("false"):
            return False
        if token.means("null"):
            raise self._error("nothing equals null: write `is null` or `is not null`")
        if token.kind in ("word", "quoted"):
            raise self._error(f'text needs quotes: "{token.text.strip("`")}"')
        raise self._error("expected a value: text in quotes, a number, true or false")

    def _number(self, token: _Token) -> int | float:
        if re.fullmatch(r"[+-]?\d{1,18}", token.text):
            return int(token.text)
        number = float(token.text)
        if not math.isfinite(number):
            raise self._error("the number is too large", token)
        return number

    def _piece(self) -> str:
        token = self._peek
        value = self._value()
        if not isinstance(value, str) or not value:
            raise self._error("`contains` needs text in quotes", token)
        return value

    def _bound(self) -> int | float | datetime:
        token = self._peek
        value = self._value()
        if isinstance(value, str) and DATE.fullmatch(value):
            return self._date(value, token)
        if isinstance(value, str | bool):
            raise self._error('only numbers and dates such as "2024-01-31" have an order', token)
        return value

    def _date(self, value: str, token: _Token) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise self._error(f"no such date ({error})", token) from error
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        try:
            moment.astimezone(UTC)
        except OverflowError:
            raise self._error("the date is beyond the years 1 to 9999", token) from None
        return moment

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _accept(self, word: str) -> bool:
        found = self._peek.means(word)
        self._next += found
        return found

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._error(f"expected `{word}`")

    def _read(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        end = len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None or match.lastgroup is None:
                raise self._unknown(self._text[at:].find(self._text[at:].lstrip()[0]) + at)
            tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return [*tokens, _Token("end", "", end)]

    def _unknown(self, at: int) -> BadInputError:
        """Return the error for a character that begins no token."""
        found = self._text[at]
        if found in _CURLY:
            return self._error_at(f"quotes are straight here, not {found}", at)
        if found in "\"'`":
            return self._error_at(f"the {found} is never closed", at)
        return self._error_at(f"{found!r} means nothing here", at)

    def _error(self, what: str, token: _Token | None = None) -> BadInputError:
        token = token or self._peek
        found = f", found {token.text}" if what.startswith("expected") and token.text else ""
        return self._error_at(what + found, token.at)

    def _error_at(self, what: str, at: int) -> BadInputError:
        return BadInputError(
            f"the filter cannot be read at character {at + 1}: {what}", way_out=_pointed(self._text, at)
        )


def _negated(condition: Condition, negated: bool) -> Condition:
    return Not(condition) if negated else condition


def _pointed(text: str, at: int) -> str:
    """Return the text around the character with a caret below it; wide letters take two columns."""
    start = max(0, at - 40)
    before, line = text[start:at], text[start : at + 40]
    width = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in before)
    flat = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in line)
    return f"{flat}\n{' ' * width}^"
