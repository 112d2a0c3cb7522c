"""The questions on which a row and the first row differ most: the ones to open when a figure moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from winnow.lab.datasets.dataset import Dataset, Question
from winnow.lab.evaluation.results import Contrast, Passage
from winnow.lab.evaluation.rows import RowData

# Of each kind, wins and losses.
_EACH = 10
_EXCERPT = 320
_SHOWN = 3

# The document and the text of each passage that was asked for.
Lookup = Callable[[AbstractSet[str]], Mapping[str, tuple[str, str]]]


def contrasts(first: RowData, here: RowData, dataset: Dataset, lookup: Lookup) -> tuple[Contrast, ...]:
    """The greatest wins, then the greatest losses, by the first metric (nDCG@10)."""
    gains = [new[0] - old[0] for old, new in zip(first.values, here.values, strict=True)]
    by_gain = sorted(range(len(gains)), key=lambda index: -gains[index])
    wins = [index for index in by_gain[:_EACH] if gains[index] > 0]
    losses = [index for index in by_gain[::-1][:_EACH] if gains[index] < 0]
    chosen = wins + losses
    texts = lookup(
        {name for data in (first, here) for index in chosen for name in data.shown[index][:_SHOWN]}
    )

    def passages(data: RowData, index: int) -> tuple[Passage, ...]:
        relevant = dataset.qrels.relevant(dataset.questions[index].id)
        found = (texts.get(name, (name, "")) for name in data.shown[index][:_SHOWN])
        return tuple(Passage(doc, " ".join(text.split())[:_EXCERPT], doc in relevant) for doc, text in found)

    return tuple(
        _contrast(
            dataset.questions[index],
            (first.values[index][0], here.values[index][0]),
            (passages(first, index), passages(here, index)),
        )
        for index in chosen
    )


def _contrast(
    question: Question, values: tuple[float, float], passages: tuple[tuple[Passage, ...], tuple[Passage, ...]]
) -> Contrast:
    return Contrast(question.id, question.text, question.answers, *values, *passages)
