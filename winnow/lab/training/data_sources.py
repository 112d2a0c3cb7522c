"""What is learned from: files of records, BEIR folders, judged answers, as one list of records."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rerank.llm.templates import language_of
from rerank.training.examples import deduplicated, question_digest, split
from rerank.training.records import LabelledPassage, Provenance, TrainingRecord, read_records
from storage.errors import BadInputError
from winnow.lab.datasets.dataset import Dataset, load_dataset, read_corpus
from winnow.lab.synthesis.plans import MiningPlan
from winnow.lab.training.plans import Source, TrainPlan

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """Records to train on and to measure on, each passage once a question. `left_out` counts by reason."""

    train: Sequence[TrainingRecord]
    dev: Sequence[TrainingRecord]
    sources: tuple[Source, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def digest(self) -> str:
        """Changes with anything that is learned from or measured on."""
        digest = hashlib.sha256()
        for records in (self.train, self.dev):
            for record in records:
                digest.update(
                    repr((record.query, record.top_label, record.passages)).encode("utf-8", "replace")
                )
        return digest.hexdigest()


def lessons(plan: TrainPlan, wiring: Wiring) -> Lessons:
    """Read everything. Raises BadInputError for what cannot be read, with its line."""
    given = [(str(path), list(records_of(path, plan.split))) for path in plan.data]
    if plan.log:
        given.append(("judged answers of the log", _logged(plan, wiring)))
    records, left_out = deduplicated(record for _, found in given for record in found)
    if plan.dev:
        dev, _ = deduplicated(record for path in plan.dev for record in records_of(path, plan.split))
        asked = {question_digest(record.query) for record in dev}
        train = [record for record in records if question_digest(record.query) not in asked]
        left_out["records whose question is a dev question"] += len(records) - len(train)
    else:
        train, dev = split(records, plan.dev_share, plan.dev_most, plan.course.seed)
    if not train:
        raise BadInputError(
            "there is no record to learn from", way_out="Look at the files, or lower --dev-share."
        )
    sources = [
        _source(name, path, found) for (name, found), path in zip(given, [*plan.data, None], strict=False)
    ]
    return Lessons(train=train, dev=dev, sources=tuple(sources), left_out=+left_out)


def records_of(path: Path, part: str | None = None) -> Iterator[TrainingRecord]:
    """The records of a JSONL file, or those that a BEIR folder's judgements make."""
    if path.is_dir():
        return _judged(load_dataset(path, split=part))
    return read_records(path)


def _judged(dataset: Dataset) -> Iterator[TrainingRecord]:
    """Judged documents, whole; a grade of 0 or less is a negative. Negatives nobody judged: `winnow mine`."""
    wanted = dataset.qrels.documents()
    texts = {
        found.id: f"{found.title}\n{found.text}" if found.title else found.text
        for _, found in (read_corpus(dataset.corpus) if dataset.corpus else ())
        if found.id in wanted and found.text.strip()
    }
    top = max(1, *(grade for of in dataset.qrels.grades.values() for grade in of.values()))
    for question in dataset.questions:
        grades = dataset.qrels.grades[question.id]
        passages = tuple(
            LabelledPassage(text=texts[name], label=max(0, grade), id=name)
            for name, grade in grades.items()
            if name in texts
        )
        if passages:
            yield TrainingRecord(
                query=question.text,
                passages=passages,
                top_label=top,
                id=question.id,
                language=language_of(question.text),
                provenance=Provenance(method="judgements", origin=dataset.name),
            )


def _logged(plan: TrainPlan, wiring: Wiring) -> list[TrainingRecord]:
    """The log's judged answers as `winnow mine --log` gives them, without anything mined."""
    from winnow.lab.mining.mine import mine

    plan.workshop.mkdir(parents=True, exist_ok=True)
    file = plan.workshop / "judged.jsonl"
    mine(MiningPlan(out=file, collection=plan.collection, negatives=0), wiring)
    return list(read_records(file))


def _source(name: str, path: Path | None, records: Sequence[TrainingRecord]) -> Source:
    made = Counter(_made(record.provenance) for record in records)
    return Source(
        name=name if path is None else path.name,
        sha256="" if path is None or path.is_dir() else _sha256(path),
        records=len(records),
        passages=sum(len(record.passages) for record in records),
        made=dict(made),
    )


def _made(provenance: Provenance) -> str:
    method = provenance.method or "not said"
    return f"{method}, {provenance.model}" if provenance.model else method


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
