"""Training data as records (from files, BEIR folders and judged answers), and metrics of their rankings."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rerank.llm.templates import language_of
from rerank.training.examples import deduplicated, question_digest, split
from rerank.training.hyperparameters import Measure, Scorer
from rerank.training.records import LabelledPassage, Provenance, TrainingRecord, read_records
from storage.errors import BadInputError
from winnow.lab.datasets.dataset import Dataset, load_dataset, read_corpus
from winnow.lab.datasets.reading import file_digest
from winnow.lab.evaluation.metrics import RANKING_METRICS, measured
from winnow.lab.synthesis.plans import MiningPlan
from winnow.lab.training.plans import DataSource, TrainPlan

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring

_DEV_METRICS = ("nDCG@10", "MRR@10")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Records to train on and to measure on, each passage once a question. `left_out` counts by reason.

    By the `dev` questions weights are chosen; the `watched` ones, by name, are measured beside them.
    """

    train: Sequence[TrainingRecord]
    dev: Sequence[TrainingRecord]
    watched: Mapping[str, Sequence[TrainingRecord]]
    sources: tuple[DataSource, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def texts(self) -> Iterator[str]:
        """All questions and passages."""
        for record in (*self.train, *self.dev):
            yield record.query
            yield from (passage.text for passage in record.passages)

    def digest(self) -> str:
        """A hash of all records, those of the dev questions included."""
        digest = hashlib.sha256()
        for records in (self.train, self.dev):
            for record in records:
                digest.update(
                    repr((record.query, record.language, record.top_label, record.passages)).encode(
                        "utf-8", "replace"
                    )
                )
        return digest.hexdigest()


def training_data(plan: TrainPlan, wiring: Wiring) -> TrainingData:
    """Read everything. Raises BadInputError, which names file and line."""
    given = [(str(path), list(records_of(path, plan.split))) for path in plan.data]
    if plan.log:
        given.append(("judged answers of the log", _logged(plan, wiring)))
    records, left_out = deduplicated(record for _, found in given for record in found)
    dev, _ = deduplicated(record for path in plan.dev for record in records_of(path, plan.split))
    watched = {path.stem: deduplicated(records_of(path))[0] for path in plan.watch}
    if len(watched) < len(plan.watch):
        raise BadInputError("two watched sets have one name", way_out="Rename one: figures go by the names.")
    measured_on = [*dev, *(record for found in watched.values() for record in found)]
    asked = {question_digest(record.query) for record in measured_on}
    train = [record for record in records if question_digest(record.query) not in asked]
    left_out["records whose question is measured on"] += len(records) - len(train)
    if not plan.dev:
        train, dev = split(train, plan.dev_share, plan.dev_most, plan.hyperparameters.seed)
    if watched and not dev:
        raise BadInputError(
            "sets are watched beside dev questions, by which weights are chosen, and there are none",
            way_out="Name some with --dev, or keep some back with --dev-share.",
        )
    if not train:
        raise BadInputError(
            "there is no record to learn from", way_out="Look at the files, or lower --dev-share."
        )
    sources = [
        _source(name, path, found) for (name, found), path in zip(given, [*plan.data, None], strict=False)
    ]
    return TrainingData(train=train, dev=dev, watched=watched, sources=tuple(sources), left_out=+left_out)


def records_of(path: Path, part: str | None = None) -> Iterator[TrainingRecord]:
    """The records of a JSONL file, or of a BEIR folder's judgements."""
    if path.is_dir():
        return _judged(load_dataset(path, split=part))
    return read_records(path)


def measure_of(data: TrainingData) -> Measure | None:
    """nDCG@10 and MRR@10 of the dev questions, then nDCG@10 of the watched sets; None without the former."""
    if not data.dev:
        return None
    of_dev = _measure(data.dev)
    of_watched = {name: _measure(records) for name, records in data.watched.items() if records}

    def measure(score: Scorer) -> Mapping[str, float]:
        others = {f"nDCG@10 of {name}": one(score)[_DEV_METRICS[0]] for name, one in of_watched.items()}
        return {**of_dev(score), **others}

    return measure


def _measure(records: Sequence[TrainingRecord]) -> Measure:
    orders = [shuffled(record) for record in records]

    def measure(score: Scorer) -> Mapping[str, float]:
        pairs = [
            (record.query, record.passages[place].text)
            for record, order in zip(records, orders, strict=True)
            for place in order
        ]
        scores = iter(score(pairs))
        rankings = []
        for order in orders:
            values = [next(scores) for _ in order]
            best = sorted(range(len(order)), key=lambda i: -values[i])
            rankings.append([order[i] for i in best])
        rows = figures(records, rankings)
        return {name: sum(row[name] for row in rows) / len(rows) for name in _DEV_METRICS}

    return measure


def shuffled(record: TrainingRecord) -> list[int]:
    """The places of a record's passages, shuffled so that ties do not favour the positives."""
    order = list(range(len(record.passages)))
    random.Random(record.query).shuffle(order)
    return order


def figures(
    records: Sequence[TrainingRecord], rankings: Sequence[Sequence[int]]
) -> list[Mapping[str, float]]:
    """The ranking metrics of each record, whose passages are ranked by their places, best first."""
    grades = {
        str(number): {str(place): passage.label for place, passage in enumerate(record.passages)}
        for number, record in enumerate(records)
    }
    ranked = {str(number): [str(place) for place in order] for number, order in enumerate(rankings)}
    values = measured(grades, ranked)
    return [dict(zip(RANKING_METRICS, values[str(number)], strict=True)) for number in range(len(records))]


def _judged(dataset: Dataset) -> Iterator[TrainingRecord]:
    """Whole judged documents; a grade of 0 or less is a negative. `winnow mine` finds unjudged negatives."""
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
    """The log's judged answers as records, without anything mined."""
    from winnow.lab.mining.mine import mine

    plan.workshop.mkdir(parents=True, exist_ok=True)
    file = plan.workshop / "judged.jsonl"
    mine(MiningPlan(out=file, collection=plan.collection, negatives=0), wiring)
    return list(read_records(file))


def _source(name: str, path: Path | None, records: Sequence[TrainingRecord]) -> DataSource:
    made = Counter(_made(record.provenance) for record in records)
    return DataSource(
        name=name if path is None else path.name,
        sha256="" if path is None or path.is_dir() else file_digest(path),
        records=len(records),
        passages=sum(len(record.passages) for record in records),
        made=dict(made),
    )


def _made(provenance: Provenance) -> str:
    method = provenance.method or "not said"
    return f"{method}, {provenance.model}" if provenance.model else method
