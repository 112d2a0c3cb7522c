"""The JSON of a stream of events, as servers send it: comments, empty events, any line ends, bare lines."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from storage.error_bodies import ReportedError, error_text

_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")
_DONE = "[done]"
# Events of no meaning, by their names or by all that they hold.
_PULSE = re.compile(r"(?i)(?:ping|heart-?beat|keep-?_?alive)?")


class Events:
    """Feed it the bytes of a stream, get back what each event holds. `done` once the stream says so.

    `read` counts the events; `beginning` is that of the stream, for one that holds none.
    """

    def __init__(self) -> None:
        self.done = False
        self.read = 0
        self.beginning = ""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line: list[str] = []  # the pieces of a line that has not ended
        self._data: list[str] = []  # the lines of an event that is not whole
        self._name = ""

    def feed(self, piece: bytes, *, last: bool = False) -> Iterator[Any]:
        """The events that end in this piece. Raises ValueError for one that is no JSON."""
        text = self._decoder.decode(piece, last)
        self.beginning = self.beginning or text[:400]
        if not last and "\n" not in text and "\r" not in text:
            self._line.append(text)
            return
        *lines, rest = _LINE_END.split("".join((*self._line, text)))
        self._line = [] if last else [rest]
        for line in (*lines, rest, "") if last else lines:
            yield from self._lined(line)

    def _lined(self, line: str) -> Iterator[Any]:
        if self.done:
            return
        field, _, value = line.partition(":")
        if field == "error":
            raise ReportedError(error_text(value.strip()))
        if line.startswith(("{", "[DONE]")):  # bare lines of JSON
            field, value = "data", line
        if field == "event":
            self._name = value.strip()
        elif field == "data":
            first = not self._data
            self._data.append(value.strip())
            if first:  # some servers leave out the empty line between events
                yield from self._event(whole=False)
        elif not line:
            yield from self._event(whole=True)
            self._name = ""

    def _event(self, *, whole: bool) -> Iterator[Any]:
        data = "\n".join(self._data).strip()
        if data.strip('"').lower() == _DONE:
            self.done = True
        elif _PULSE.fullmatch(data) or (self._name and _PULSE.fullmatch(self._name)):
            pass
        elif data:
            try:
                found = json.loads(data)
            except ValueError:
                if not whole:
                    return
                if data[0] not in "{[" or self._name == "error":
                    raise ReportedError(error_text(data)) from None
                raise
            self.read += 1
            self._data = []
            yield found
        self._data = []
