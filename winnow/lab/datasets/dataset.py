"""Data sets: questions, judgements and, in BEIR's layout, the documents themselves."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from storage.errors import BadInputError
from storage.records import whole
from winnow.lab.datasets.reading import LineError, existing, records, text_field
from winnow.lab.datasets.trec import Qrels, read_qrels

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its gold answers, if the set has any."""

    id: str
    text: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A document of a corpus file."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Questions with judgements; see `load_dataset`.

    `questions` have a relevant document, `unanswerable` have none; both keep the file's order. `corpus` is
    None where only questions and judgements are given. `notes` list what was left out.
    """

    name: str
    questions: tuple[Question, ...]
    qrels: Qrels
    corpus: Path | None = None
    unanswerable: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def with_answers(self) -> bool:
        """True where any question has a gold answer."""
        return any(question.answers for question in self.questions)

    def sampled(self, size: int | None, seed: int) -> Dataset:
        """The set with at most `size` questions of each kind (None: all), drawn by `seed`."""
        if size is None or size >= len(self.questions):
            return self
        note = f"{size} of {len(self.questions)} questions, drawn with seed {seed}"
        return replace(
            self,
            questions=tuple(drawn(self.questions, size, seed)),
            unanswerable=tuple(drawn(self.unanswerable, size, seed)),
            notes=(*self.notes, note),
        )


def load_dataset(
    folder: Path | None,
    *,
    split: str | None = None,
    queries: Path | None = None,
    qrels: Path | None = None,
    with_corpus: bool = True,
) -> Dataset:
    """The set in a folder of BEIR's layout; `queries` and `qrels` name files that take the place of its own.

    Questions alone will do where they name their `document` (or several): those are relevant, and a question
    without one has no answer. With `split`, `queries.SPLIT.jsonl` and `qrels.SPLIT.tsv` are read (or BEIR's
    own `qrels/SPLIT.tsv`). Without `with_corpus` only questions and judgements are. Raises BadInputError,
    which names file and line.
    """
    if folder is not None and not folder.is_dir():
        raise BadInputError(f"{folder} is not a folder")
    asked_in = queries or _file(folder, "queries", _names("queries", split), "--queries")
    asked = load_questions(asked_in)
    judged = own_judgements(asked_in) if qrels is None and folder is None else None
    judged = judged or read_qrels(qrels or _file(folder, "qrels", _qrels_names(split), "--qrels"))
    corpus = existing(folder, "corpus.jsonl") if folder and with_corpus else None
    if corpus is None and with_corpus:
        raise BadInputError(
            f"there is no corpus.jsonl or corpus.jsonl.gz in {folder or 'any folder given'}",
            way_out="Give a folder that has one, or a --collection.",
        )
    notes = _unknown_questions(judged, asked)
    if corpus:
        notes += check_judged(judged, (document.id for _, document in read_corpus(corpus)), str(corpus))
    answerable = tuple(question for question in asked if judged.relevant(question.id))
    if not answerable:
        raise BadInputError(f"{judged.path} judges no document relevant to any question")
    unanswerable = tuple(question for question in asked if not judged.relevant(question.id))
    if unanswerable:
        notes.append(
            f"{len(unanswerable)} questions without a relevant document are left out of the ranking metrics"
        )
    name = folder.resolve().name if folder else judged.path.name
    return Dataset(name, answerable, judged, corpus, unanswerable, tuple(notes))


def read_corpus(path: Path) -> Iterator[tuple[int, CorpusDocument]]:
    """The documents of a corpus with their lines. Raises LineError for a repeated id."""
    for number, name, record in _identified(path, "document"):
        title = text_field(path, number, record, "title") if record.get("title") is not None else ""
        yield number, CorpusDocument(name, title, text_field(path, number, record, "text"))


def load_questions(path: Path) -> list[Question]:
    """The questions of a JSONL file. Raises LineError for a repeated id or an empty question."""
    found = []
    for number, name, record in _identified(path, "question"):
        text = text_field(path, number, record, "text")
        if not text.strip():
            raise LineError(path, number, f"the question {name!r} is empty")
        found.append(Question(name, text, _answers(path, number, record)))
    if not found:
        raise BadInputError(f"{path} holds no question")
    return found


def own_judgements(path: Path) -> Qrels | None:
    """The documents that a file's questions name, as judgements; None where none names any."""
    grades: dict[str, dict[str, int]] = {}
    places: dict[tuple[str, str], int] = {}
    for number, name, record in _identified(path, "question"):
        named = record.get("document", record.get("documents")) or []
        for document in [named] if isinstance(named, str) else named:
            grades.setdefault(name, {})[str(document)] = 1
            places.setdefault((name, str(document)), number)
    return Qrels(grades, path, lines=places) if grades else None


def _identified(path: Path, kind: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The objects of a JSONL file with their lines and ids. Raises LineError for a repeated id."""
    seen: dict[str, int] = {}
    for number, record in records(path):
        name = text_field(path, number, record, "id", "_id")
        if name in seen:
            raise LineError(path, number, f"the {kind} id {name!r} was given in line {seen[name]} already")
        seen[name] = number
        yield number, name, record


def check_judged(qrels: Qrels, documents: Iterable[str], place: str) -> list[str]:
    """Notes on judged documents that are not among those of a place.

    In a set's own TSV such a line is an error; a TREC file judges a whole collection, of which a corpus may
    be a part.
    """
    missing = qrels.documents()
    for name in documents:
        missing.pop(name, None)
    if not missing:
        return []
    document, line = next(iter(missing.items()))
    if not qrels.pooled:
        raise LineError(qrels.path, line, f"judges the document {document!r}, which is not in {place}")
    return [
        f"{len(missing)} judged documents are not in the corpus, but ideal gains and recall count them "
        f"(the first: {qrels.path}:{line}, {document})"
    ]


def _unknown_questions(qrels: Qrels, asked: Sequence[Question]) -> list[str]:
    known = {question.id for question in asked}
    unknown = [name for name in qrels.grades if name not in known]
    if not unknown:
        return []
    line = min(number for (name, _), number in qrels.lines.items() if name == unknown[0])
    if not qrels.pooled:
        raise LineError(
            qrels.path, line, f"judges the question {unknown[0]!r}, which is not among the questions"
        )
    return [f"{len(unknown)} judged questions are not asked (the first: {qrels.path}:{line}, {unknown[0]})"]


def _answers(path: Path, line: int, record: dict[str, Any]) -> tuple[str, ...]:
    answers = record.get("answers") or []
    if isinstance(answers, str):
        answers = [answers]
    if not isinstance(answers, list):
        raise LineError(path, line, "'answers' must be a list of texts")
    flat = [part for answer in answers for part in (answer if isinstance(answer, list) else [answer])]
    return tuple(whole(str(answer)) for answer in flat if str(answer).strip())


def _names(stem: str, split: str | None) -> list[str]:
    # BEIR keeps the questions of all splits in one file
    return [f"{stem}.jsonl"] if split is None else [f"{stem}.{split}.jsonl", f"{stem}.jsonl"]


def _qrels_names(split: str | None) -> list[str]:
    return ["qrels.tsv", "qrels/test.tsv"] if split is None else [f"qrels.{split}.tsv", f"qrels/{split}.tsv"]


def _file(folder: Path | None, what: str, names: Sequence[str], option: str) -> Path:
    if folder is None:
        raise BadInputError(f"no {what} given", way_out=f"Give a folder, or {option} FILE.")
    found = existing(folder, *names)
    if found is None:
        raise BadInputError(
            f"{folder} has no {what}: looked for {', '.join(names)}, plain and .gz",
            way_out=f"Give {option} FILE, or --split NAME.",
        )
    return found


def drawn(items: Sequence[T], size: int | None, seed: int) -> Sequence[T]:
    """A random sample in the items' order; all of them where `size` is None."""
    if size is None or size >= len(items):
        return items
    return [items[place] for place in sorted(random.Random(seed).sample(range(len(items)), size))]
