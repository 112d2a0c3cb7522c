"""`evaluate`: every way of retrieving with every way of reranking over one set, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from rerank.spec import Spec
from storage.errors import BadInputError
from winnow.lab.datasets.dataset import Dataset, read_corpus
from winnow.lab.datasets.matching import contains
from winnow.lab.datasets.runs import Run
from winnow.lab.evaluation import fingerprints
from winnow.lab.evaluation.answering import AnswerRows
from winnow.lab.evaluation.contrasts import Lookup, contrasts
from winnow.lab.evaluation.corpus_index import Progress, silent
from winnow.lab.evaluation.ground import CollectionGround, CorpusGround, Ground
from winnow.lab.evaluation.plan import Plan
from winnow.lab.evaluation.results import AnswerFigures, Evaluation, Row
from winnow.lab.evaluation.rows import RowData, measure_row, metric_names, plain_measure, ranked_measure
from winnow.lab.evaluation.strategies import Strategy
from winnow.lab.significance import Matrix, difference, interval, resampled_means

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring

_PASSAGES = 5


def evaluate(plan: Plan, wiring: Wiring, progress: Progress = silent) -> Evaluation:
    """Measure all rows. What was measured before, by the same code and models, is not measured again.

    Raises WinnowError; interrupted, it keeps what is finished.
    """
    specs = [(label, Spec.parse(label)) for label in plan.rerank]
    if not plan.retrieve and not plan.runs:
        raise BadInputError("there is nothing to rank", way_out="Give a way of retrieving, or a run.")
    _check_runs(plan)
    plain = not plan.retrieve and not plan.answers and all(_keeps_order(spec) for _, spec in specs)
    if plain:
        found = [
            _plain_row(plan, label, run, spec, progress) for label, run in plan.runs for spec, _ in specs
        ]
        rows = _compared(plan, found, [None] * len(found), partial(_documents, plan.dataset))
    else:
        with closing(_ground(plan, wiring, progress)) as ground:
            rows = _Measurement(plan, wiring, ground, progress).rows(specs)
    return Evaluation(plan.dataset.name, len(plan.dataset.questions), plan.seed, rows, _notes(plan))


@dataclass(slots=True)
class _Measurement:
    plan: Plan
    wiring: Wiring
    ground: Ground
    progress: Progress
    forgotten: set[str] = field(default_factory=set)

    def rows(self, specs: Sequence[tuple[str, Spec]]) -> tuple[Row, ...]:
        # every spec is loaded before the long work begins: what is missing is said at once
        strategies = [self.strategy(label, spec) for label, spec in specs]
        answers = (
            AnswerRows.load(self.plan, self.wiring, self.ground, self.progress) if self.plan.answers else None
        )
        data: list[RowData] = []
        figures: list[AnswerFigures | None] = []
        for source in self.ground.sources(self.plan.retrieve, self.plan.runs, self.plan.top_k):
            self.renewed(source.key)
            for strategy in strategies:
                self.renewed(strategy.key(source.key))
                row = answers.row(source, strategy) if answers else None
                measure = ranked_measure(
                    source, strategy, self.ground.name, row.add if row else _nothing_more
                )
                empty = RowData(source.label, strategy.label)
                data.append(measure_row(empty, self.plan.dataset, measure, self.progress))
                figures.append(row.finish() if row else None)
        return _compared(self.plan, data, figures, self.passages)

    def strategy(self, label: str, spec: Spec) -> Strategy:
        keeps = _keeps_order(spec)
        return Strategy(
            label=label,
            key=lambda source: fingerprints.rerank_key(source, spec, self.wiring.settings),
            # without remembered verdicts: a row takes the time and the money that it would take alone
            reranker=None if keeps else self.wiring.reranker(self.ground.vectors, label, remembering=False),
            cache=self.ground.cache,
            warm=self.warm,
            encoding_s=self.ground.encoding_s,
        )

    def warm(self, question: str) -> None:
        self.wiring.encoder.encode_query(question)

    def renewed(self, key: str) -> None:
        """With `fresh`, forget what the cache has, once."""
        if self.plan.fresh and key not in self.forgotten:
            self.forgotten.add(key)
            self.ground.cache.forget(key)

    def passages(self, ids: AbstractSet[str]) -> dict[str, tuple[str, str]]:
        found = self.ground.cache.passages(ids)
        return {name: (self.ground.name(chunk), chunk.text) for name, chunk in found.items()}


def _ground(plan: Plan, wiring: Wiring, progress: Progress) -> Ground:
    if plan.collection is not None or plan.dataset.corpus is None:
        return CollectionGround.open(plan.collection, plan.dataset, wiring)
    return CorpusGround.open(plan.dataset.corpus, wiring, progress)


def _plain_row(plan: Plan, label: str, run: Run, spec: str, progress: Progress) -> RowData:
    """A run as it stands: neither passages nor an encoder are needed."""
    contained = _contained(plan.dataset, run) if plan.dataset.with_answers else {}
    return measure_row(
        RowData(label, spec), plan.dataset, plain_measure(run.candidates, contained, spec), progress
    )


def _contained(dataset: Dataset, run: Run) -> dict[str, bool]:
    """Whose best 5 documents hold a gold answer: one pass over the corpus."""
    wanted: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for question in dataset.questions:
        for document, _ in run.candidates.get(question.id, ())[:_PASSAGES]:
            wanted.setdefault(document, []).append((question.id, question.answers))
    documents = read_corpus(dataset.corpus) if dataset.corpus else iter(())
    return {
        question: True
        for _, document in documents
        for question, answers in wanted.get(document.id, ())
        if contains(document.text, answers)
    }


def _documents(dataset: Dataset, ids: AbstractSet[str]) -> dict[str, tuple[str, str]]:
    documents = read_corpus(dataset.corpus) if dataset.corpus and ids else iter(())
    return {document.id: (document.id, document.text) for _, document in documents if document.id in ids}


def _compared(
    plan: Plan, data: Sequence[RowData], figures: Sequence[AnswerFigures | None], lookup: Lookup
) -> tuple[Row, ...]:
    names = metric_names(plan.dataset)
    values = np.concatenate([one.matrix() for one in data], axis=1)
    means = resampled_means(values, seed=plan.seed)
    return tuple(
        _row(plan.dataset, index, data, figures[index], names, means, lookup) for index in range(len(data))
    )


def _row(
    dataset: Dataset,
    index: int,
    data: Sequence[RowData],
    figures: AnswerFigures | None,
    names: Sequence[str],
    means: Matrix,
    lookup: Lookup,
) -> Row:
    first, here = data[0], data[index]
    mine = dict(zip(names, means[:, index * len(names) :].T, strict=False))
    firsts = dict(zip(names, means.T, strict=False))
    metrics = dict(zip(names, (float(mean) for mean in here.matrix().mean(axis=0)), strict=True))
    base = dict(zip(names, (float(mean) for mean in first.matrix().mean(axis=0)), strict=True))
    gains = here.matrix()[:, 0] - first.matrix()[:, 0]
    total, retrieval, rerank = here.times()
    return Row(
        retrieve=here.retrieve,
        rerank=here.rerank,
        metrics=metrics,
        intervals={name: interval(mine[name]) for name in names},
        differences={
            name: difference(metrics[name] - base[name], mine[name] - firsts[name]) for name in names
        }
        if index
        else {},
        wins=int((gains > 0).sum()),
        losses=int((gains < 0).sum()),
        statuses=dict(here.statuses),
        retrieval_statuses=dict(here.retrieval_statuses),
        reasons=here.commonest_reasons(),
        usage=here.usage,
        times=total,
        retrieval_times=retrieval,
        rerank_times=rerank,
        per_question=tuple(values[0] for values in here.values),
        answers=figures,
        contrasts=contrasts(first, here, dataset, lookup) if index else (),
    )


def _check_runs(plan: Plan) -> None:
    for label, run in plan.runs:
        if not any(question.id in run.candidates for question in plan.dataset.questions):
            raise BadInputError(
                f"the run {label} has no candidate for any question",
                way_out="Is it a run of another set, or of another split?",
            )


def _notes(plan: Plan) -> tuple[str, ...]:
    asked = [question.id for question in plan.dataset.questions]
    missing = [(label, sum(name not in run.candidates for name in asked)) for label, run in plan.runs]
    silent_on = [
        f"{label} has no candidate for {count} questions: they count as 0"
        for label, count in missing
        if count
    ]
    return (*plan.dataset.notes, *silent_on)


def _keeps_order(spec: Spec) -> bool:
    return all(stage.name == "none" for stage in spec.stages)


def _nothing_more(*_: object) -> None:
    """For rows whose passages answer nothing."""
