"""Rows against the first one: intervals, paired differences, and the questions on which they differ most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from winnow.lab.datasets.dataset import Dataset
from winnow.lab.evaluation.results import AnswerFigures, Contrast, ContrastPassage, EvaluationRow
from winnow.lab.evaluation.rows import RowData, metric_names
from winnow.lab.significance import Matrix, difference, interval, resampled_means

# Contrasts of each kind, wins and losses.
_MOST_CONTRASTS = 10
_EXCERPT = 320
_PASSAGES = 3

# The document and the text of each passage of the given ids.
Lookup = Callable[[AbstractSet[str]], Mapping[str, tuple[str, str]]]


def compared_rows(
    dataset: Dataset,
    seed: int,
    data: Sequence[RowData],
    answers: Sequence[AnswerFigures | None],
    lookup: Lookup,
) -> tuple[EvaluationRow, ...]:
    """The rows with their figures; all but the first with differences against the first."""
    values = np.concatenate([one.matrix() for one in data], axis=1)
    means = resampled_means(values, seed=seed)
    return tuple(_row(dataset, index, data, answers[index], means, lookup) for index in range(len(data)))


def _row(
    dataset: Dataset,
    index: int,
    data: Sequence[RowData],
    answers: AnswerFigures | None,
    means: Matrix,
    lookup: Lookup,
) -> EvaluationRow:
    first, here, names = data[0], data[index], metric_names(dataset)
    resampled = dict(zip(names, means[:, index * len(names) :].T, strict=False))
    resampled_first = dict(zip(names, means.T, strict=False))
    metrics, base = (
        dict(zip(names, map(float, one.matrix().mean(axis=0)), strict=True)) for one in (here, first)
    )
    gains = here.matrix()[:, 0] - first.matrix()[:, 0]
    total, retrieval, rerank = here.times()
    return EvaluationRow(
        retrieve=here.retrieve,
        rerank=here.rerank,
        metrics=metrics,
        intervals={name: interval(resampled[name]) for name in names},
        differences={
            name: difference(metrics[name] - base[name], resampled[name] - resampled_first[name])
            for name in names
            if index
        },
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
        answers=answers,
        contrasts=_contrasts(first, here, dataset, lookup) if index else (),
    )


def _contrasts(first: RowData, here: RowData, dataset: Dataset, lookup: Lookup) -> tuple[Contrast, ...]:
    """The greatest wins, then the greatest losses, by the first metric (nDCG@10)."""
    gains = [new[0] - old[0] for old, new in zip(first.values, here.values, strict=True)]
    by_gain = sorted(range(len(gains)), key=lambda index: -gains[index])
    wins = [index for index in by_gain[:_MOST_CONTRASTS] if gains[index] > 0]
    losses = [index for index in by_gain[::-1][:_MOST_CONTRASTS] if gains[index] < 0]
    chosen = wins + losses
    shown = (row.shown[index][:_PASSAGES] for row in (first, here) for index in chosen)
    texts = lookup({name for names in shown for name in names})

    def passages(row: RowData, index: int) -> tuple[ContrastPassage, ...]:
        relevant = dataset.qrels.relevant(dataset.questions[index].id)
        best = (texts.get(name, (name, "")) for name in row.shown[index][:_PASSAGES])
        return tuple(
            ContrastPassage(document, " ".join(text.split())[:_EXCERPT], document in relevant)
            for document, text in best
        )

    return tuple(
        Contrast(
            question=dataset.questions[index].id,
            text=dataset.questions[index].text,
            answers=dataset.questions[index].answers,
            first=first.values[index][0],
            here=here.values[index][0],
            first_passages=passages(first, index),
            passages=passages(here, index),
        )
        for index in chosen
    )
