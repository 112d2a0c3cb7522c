"""A journal of paid replies next to the file that is made from them, so that nothing is paid for twice.

A killed run loses only its unfinished calls.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, ClassVar, Self

from rerank.llm.calls import Request
from storage.chat import Completion
from storage.errors import BadInputError
from storage.records import Usage


class DamagedLinesError(BadInputError):
    """A file of lines is there, and has one that is not of its kind."""


class AppendedLines(ABC):
    """A file of JSON Lines that is only appended to: a kill costs the line being written. A context manager.

    `kind` names it, for errors.
    """

    kind: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    @abstractmethod
    def _take(self, entry: dict[str, Any]) -> None:
        """Take a line that is there already. Raises ValueError, KeyError or TypeError for another kind."""

    def __enter__(self) -> Self:
        """Read the file; an incomplete last line is cut off.

        Raises DamagedLinesError for a line of another kind, BadInputError where the file cannot be used.
        """
        try:
            if self._path.exists():
                self._read()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
        except OSError as error:
            raise BadInputError(
                f"{self._path} cannot be used: {error.strerror or error}",
                way_out="Name an output in a folder of yours.",
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            with suppress(FileNotFoundError):  # another process may have deleted it
                if self._path.stat().st_size == 0:
                    self._path.unlink()

    def append(self, entry: dict[str, Any]) -> None:
        """Write a line; nothing after the file was closed, as an interrupted run may try."""
        if self._file is None:
            return
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def _read(self) -> None:
        with self._path.open("r+b") as file:
            whole = 0
            for number, raw in enumerate(file, start=1):
                if not raw.endswith(b"\n"):
                    break
                try:
                    self._take(json.loads(raw))
                except (ValueError, KeyError, TypeError) as error:
                    raise DamagedLinesError(
                        f"{self._path}:{number} is no line of {self.kind}",
                        way_out="Move that file away, or name another output file.",
                    ) from error
                whole += len(raw)
            if whole < os.fstat(file.fileno()).st_size:
                file.truncate(whole)


class Journal(AppendedLines):
    """Replies by request (see `rerank.llm.calls.Caller`), and creation times. A context manager.

    `model` is part of the key: another model's reply is another reply.
    """

    kind = "a journal of winnow's"

    def __init__(self, path: Path, model: str) -> None:
        super().__init__(path)
        self._model = model
        self._known: dict[str, Completion] = {}
        self._times: dict[str, str] = {}

    def recalled(self, request: Request) -> Completion | None:
        """The reply that is paid for already, if there is one."""
        return self._known.get(self._key(request))

    def keep(self, request: Request, completion: Completion) -> None:
        """Append a reply."""
        key = self._key(request)
        self._known[key] = completion
        entry = {
            "text": completion.text,
            "finish_reason": completion.finish_reason,
            "refusal": completion.refusal,
            "model": completion.model,
            "usage": asdict(completion.usage),
        }
        self.append({"reply": key, "at": _now(), **entry})

    def time_of(self, *parts: str) -> str:
        """The time at which the thing that these texts identify was first made; now, if it is new."""
        key = _digest(*parts)
        if key not in self._times:
            self._times[key] = _now()
            self.append({"made": key, "at": self._times[key]})
        return self._times[key]

    def _key(self, request: Request) -> str:
        sent = [f"{message.role}\0{message.content}" for message in request.messages]
        return _digest(self._model, str(request.max_tokens), *sent)

    def _take(self, entry: dict[str, Any]) -> None:
        if "made" in entry:
            self._times[entry["made"]] = entry["at"]
            return
        self._known[entry["reply"]] = Completion(
            entry["text"],
            Usage(**entry["usage"]),
            entry["model"],
            entry["finish_reason"],
            refusal=entry["refusal"],
        )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\1".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
