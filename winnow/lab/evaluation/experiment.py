"""`evaluate`: every way of retrieving with every way of reranking over one set, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rerank.spec import Spec
from storage.errors import BadInputError
from winnow.lab.datasets.dataset import Dataset, read_corpus
from winnow.lab.datasets.matching import contains
from winnow.lab.datasets.trec import TrecRun
from winnow.lab.evaluation import fingerprints
from winnow.lab.evaluation.answers import AnswerEvaluation
from winnow.lab.evaluation.cached_stages import CachedReranker
from winnow.lab.evaluation.evaluation_index import EvaluationIndex
from winnow.lab.evaluation.results import AnswerFigures, Evaluation, EvaluationRow, Plan
from winnow.lab.evaluation.row_comparison import compared_rows
from winnow.lab.evaluation.rows import RowData, measure_row, plain_measure, ranked_measure
from winnow.lab.progress import Progress, silent

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring

_PASSAGES = 5


def evaluate(plan: Plan, wiring: Wiring, progress: Progress = silent) -> Evaluation:
    """Measure all rows. What the same code and models measured before is read from the cache.

    Raises WinnowError; interrupted, it keeps what is finished.
    """
    specs = [(label, Spec.parse(label)) for label in plan.rerank]
    if not plan.retrieve and not plan.runs:
        raise BadInputError("there is nothing to rank", way_out="Give a way of retrieving, or a run.")
    _check_runs(plan)
    dataset = plan.dataset
    if not plan.retrieve and not plan.answers and all(_keeps_order(spec) for _, spec in specs):
        data = [_plain_row(plan, label, run, spec, progress) for label, run in plan.runs for spec, _ in specs]
        rows = compared_rows(dataset, plan.seed, data, [None] * len(data), partial(_documents, dataset))
    else:
        with closing(_index(plan, wiring)) as index:
            rows = _Experiment(plan, wiring, index, progress).rows(specs)
    return Evaluation(dataset.name, len(dataset.questions), plan.seed, rows, _notes(plan))


@dataclass(slots=True)
class _Experiment:
    """All rows of a plan that need passages."""

    plan: Plan
    wiring: Wiring
    index: EvaluationIndex
    progress: Progress

    def rows(self, specs: Sequence[tuple[str, Spec]]) -> tuple[EvaluationRow, ...]:
        # every spec is loaded before the long work begins, so that a missing model is reported at once
        rerankers = [self._reranker(label, spec) for label, spec in specs]
        plan, index, progress = self.plan, self.index, self.progress
        answers = AnswerEvaluation.load(plan, self.wiring, index, progress) if plan.answers else None
        data: list[RowData] = []
        figures: list[AnswerFigures | None] = []
        for source in index.sources(plan.retrieve, plan.runs, plan.top_k, self.wiring, progress):
            self._forget(source.key)
            for reranker in rerankers:
                self._forget(reranker.key(source.key))
                row = answers.row(source, reranker) if answers else None
                measure = ranked_measure(source, reranker, index.name, row.add if row else None)
                empty = RowData(source.label, reranker.label)
                data.append(measure_row(empty, plan.dataset, measure, progress))
                figures.append(row.finish() if row else None)
        return compared_rows(plan.dataset, plan.seed, data, figures, self._passages)

    def _reranker(self, label: str, spec: Spec) -> CachedReranker:
        encoder = self.index.encoders.dense
        return CachedReranker(
            label=label,
            key=lambda source: fingerprints.rerank_key(source, spec, self.wiring.settings),
            # without the score cache: a row takes the time and the money that it would take alone
            reranker=None
            if _keeps_order(spec)
            else self.wiring.reranker(self.index.vectors, encoder, label, remembering=False),
            cache=self.index.cache,
            warm=encoder.encode_query,
            encoding_s=self.index.encoding_s,
        )

    def _forget(self, key: str) -> None:
        if self.plan.fresh:
            self.index.cache.forget(key)

    def _passages(self, ids: AbstractSet[str]) -> dict[str, tuple[str, str]]:
        chunks = self.index.cache.passages(ids)
        return {id_: (self.index.name(chunk), chunk.text) for id_, chunk in chunks.items()}


def _index(plan: Plan, wiring: Wiring) -> EvaluationIndex:
    if plan.collection is not None or plan.dataset.corpus is None:
        return EvaluationIndex.of_collection(plan.collection, plan.dataset, wiring)
    return EvaluationIndex.of_corpus(plan.dataset.corpus, wiring)


def _plain_row(plan: Plan, label: str, run: TrecRun, spec: str, progress: Progress) -> RowData:
    """A row of an unchanged run, which needs neither passages nor an encoder."""
    contained = _contained(plan.dataset, run) if plan.dataset.with_answers else {}
    return measure_row(
        RowData(label, spec), plan.dataset, plain_measure(run.candidates, contained, spec), progress
    )


def _contained(dataset: Dataset, run: TrecRun) -> dict[str, bool]:
    """Questions whose best 5 documents hold a gold answer: one pass over the corpus."""
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
