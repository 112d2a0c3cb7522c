"""Training records: `winnow synthesize` and `winnow mine` write them, `winnow train` reads them.

JSON Lines: a question per line, with passages and their relevance.

    {"query": "...", "passages": [{"text": "...", "label": 1}, {"text": "...", "label": 0}],
     "top_label": 1, "id": "...", "language": "en", "provenance": {"method": "mined", ...}}

Only `query` and `passages` are required. The short form {"query": "...", "positive": "...", "negatives":
["..."]} is accepted as well.
"""

from __future__ import annotations

import gzip
import json
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Self, TypeVar, cast
from zlib import error as ZlibError  # noqa: N812 - an exception, named as one

from storage.errors import BadInputError
from storage.records import Candidate, whole

T = TypeVar("T")

# The grades that people and models give: 0 (not relevant) to 3 (answers the question).
TOP_GRADE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPassage:
    """A passage and its label, from 0 (not relevant) to the record's `top_label`.

    `id` is the passage's in its collection, `source` its document's path; both are empty for written ones.
    `score` is a teacher's (a stronger reranker's, higher is better, any scale), or None.
    """

    text: str
    label: int
    id: str = ""
    source: str = ""
    score: float | None = None

    @classmethod
    def of(cls, candidate: Candidate, label: int, score: float | None = None) -> LabelledPassage:
        """A retrieved passage with its text as rerankers see it."""
        chunk = candidate.chunk
        return cls(text=chunk.encoded_text, label=label, id=chunk.id, source=chunk.source, score=score)

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("a passage is empty")
        if self.label < 0:
            raise ValueError(f"the label {self.label} is negative")
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"the score {self.score} is not a finite number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The origin of a record; fields that do not apply are empty.

    `method`: `queries` (a model wrote the question), `passages` (a model wrote the passages), `labels` (a
    model graded), `mined`, `feedback` (people graded logged answers), `teacher` (nobody graded the logged
    answer; a reranker's first passage counts as relevant). `prompt` is a hash of the templates.
    `origin` names what the record was made from: a file, or the id of a logged answer. `created_at` is ISO
    8601, `cost` that of the record's calls, None where the price is unknown.
    """

    method: str = ""
    model: str = ""
    prompt: str = ""
    collection: str = ""
    origin: str = ""
    created_at: str = ""
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """A question and labelled passages. `top_label` is 1 for yes-or-no labels, 3 for grades.

    `language` is `en` or `zh`, or empty. Raises ValueError where a text is empty or a label
    is above `top_label`.
    """

    query: str
    passages: tuple[LabelledPassage, ...]
    top_label: int = 1
    id: str = ""
    language: str = ""
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise ValueError("the query is empty")
        if not self.passages:
            raise ValueError("there is no passage")
        if self.top_label < 1:
            raise ValueError(f"top_label is {self.top_label}, and must be at least 1")
        above = [passage.label for passage in self.passages if passage.label > self.top_label]
        if above:
            raise ValueError(f"the label {above[0]} is above top_label {self.top_label}")

    @property
    def positives(self) -> tuple[LabelledPassage, ...]:
        """The passages with a label above the middle: 1 of 1, 2 and 3 of 3."""
        return tuple(passage for passage in self.passages if 2 * passage.label > self.top_label)

    @property
    def negatives(self) -> tuple[LabelledPassage, ...]:
        """The passages with label 0. Grade 1 of 3 is neither: on the subject, but not an answer."""
        return tuple(passage for passage in self.passages if passage.label == 0)

    def relevance(self, passage: LabelledPassage) -> float:
        """The label from 0 to 1, so that yes-or-no labels and grades train together."""
        return passage.label / self.top_label


def read_records(path: Path) -> Iterator[TrainingRecord]:
    """The records of a JSONL file, `.gz` or not. Raises BadInputError, which names file and line."""
    for number, line in numbered_lines(path):
        try:
            yield _record(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"{path}:{number}: {_reason(error)}", way_out=_FORM) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, `.gz` or not, with their numbers from 1, without blank ones.

    Only a line feed ends a line: texts may contain U+2028 and the like. Raises BadInputError.
    """
    number = 0
    try:
        with cast("BinaryIO", gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
            for number, raw in enumerate(file, start=1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, text.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}:{number}: not UTF-8: {error.reason} at byte {error.start}") from error
    except (OSError, EOFError, ZlibError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        where = f" after line {number}" if number else ""
        raise BadInputError(f"{path} cannot be read{where}: {reason}") from error


class RecordWriter:
    """Writes a JSONL file of records atomically: never half a line, never half a file.

    A context manager. When the block raises, the old file stays; with `keep_partial` it is replaced by the
    records so far, unless it has more. Calls from several threads are safe.
    """

    def __init__(self, path: Path, *, keep_partial: bool = False) -> None:
        self.count = 0
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._keep_partial = keep_partial
        self._writing = threading.Lock()
        self._file: IO[bytes] | None = None

    def write(self, record: TrainingRecord) -> None:
        """Add a record; does nothing once the block has ended."""
        line = json.dumps(_plain(record), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._writing:
            if self._file is not None:
                self._file.write(line)
                self.count += 1

    def __enter__(self) -> Self:
        if self._path.is_dir():
            raise BadInputError(f"{self._path} is a folder", way_out="Name a file.")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._writing:
            file, self._file = cast("IO[bytes]", self._file), None
        try:
            file.close()
            if error is None or (self._keep_partial and self.count and self.count >= _count(self._path)):
                self._part.replace(self._path)
            else:
                self._part.unlink()
        except OSError as failure:
            raise self._unwritable(failure) from failure

    def _unwritable(self, error: OSError) -> BadInputError:
        return BadInputError(
            f"{self._path} cannot be written: {error.strerror or error}",
            way_out="Name a file in a folder of yours.",
        )


_FORM = (
    'A line is {"query": "...", "passages": [{"text": "...", "label": 1}, ...]}, '
    'or {"query": "...", "positive": "...", "negatives": ["...", ...]}.'
)
_SHORT = ("positive", "positives", "negatives")


def _record(value: Any) -> TrainingRecord:
    record = _object(value, "a record")
    if any(name in record for name in _SHORT):
        if "passages" in record:
            raise ValueError("'passages' and the short form ('positive', 'negatives') exclude each other")
        record = _long_form(record)
    passages = record.pop("passages", None)
    if not isinstance(passages, list):
        raise ValueError("'passages' must be a list" if passages is not None else "'passages' is missing")
    provenance = record.pop("provenance", None) or {}
    return _made(
        TrainingRecord,
        record,
        passages=tuple(_made(LabelledPassage, _object(one, "a passage")) for one in passages),
        provenance=_made(Provenance, _object(provenance, "'provenance'")),
    )


def _long_form(record: dict[str, Any]) -> dict[str, Any]:
    """The short form's texts as passages with labels 1 and 0."""
    positive = record.pop("positive", None)
    positives = record.pop("positives", None) or []
    negatives = record.pop("negatives", None) or []
    if not isinstance(positives, list) or not isinstance(negatives, list):
        raise ValueError("'positives' and 'negatives' must be lists of texts")
    good = [*([] if positive is None else [positive]), *positives]
    passages = [{"text": text, "label": 1} for text in good]
    return {**record, "passages": passages + [{"text": text, "label": 0} for text in negatives]}


# The JSON types of a field, and their name in an error.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "int": ((int,), "a whole number"),
    "float | None": ((int, float, type(None)), "a number"),
}


def _made(kind: type[T], values: Mapping[str, Any], **ready: Any) -> T:
    """A dataclass from a JSON object, with every field checked."""
    known = {field.name: field for field in fields(cast("Any", kind)) if field.name not in ready}
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"there is no field {unknown[0]!r}; known: {', '.join([*known, *ready])}")
    for name, field in known.items():
        if name not in values and field.default is MISSING:
            raise ValueError(f"{name!r} is missing")
    return kind(
        **{name: _checked(name, value, str(known[name].type)) for name, value in values.items()}, **ready
    )


def _checked(name: str, value: Any, kind: str) -> Any:
    types, called = _KINDS[kind]
    if isinstance(value, bool) or not isinstance(value, types):
        raise ValueError(f"{name!r} must be {called}, not {json.dumps(value, ensure_ascii=False)[:40]}")
    return whole(value) if isinstance(value, str) else value


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object, not {json.dumps(value, ensure_ascii=False)[:40]}")
    return dict(value)


def _plain(record: TrainingRecord) -> dict[str, Any]:
    """The record as JSON, without empty fields."""
    values = {**asdict(record), "passages": [_bare(asdict(one), "text", "label") for one in record.passages]}
    values["provenance"] = _bare(asdict(record.provenance))
    return _bare(values, "query", "passages", "top_label")


def _bare(values: Mapping[str, Any], *always: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in always or value not in ("", None, {})}


def _reason(error: Exception) -> str:
    return f"not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)


def _count(path: Path) -> int:
    """The number of lines of a file, 0 if it does not exist."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)
