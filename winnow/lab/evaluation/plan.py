"""`Plan`: what an evaluation measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from winnow.lab.datasets.dataset import Dataset
from winnow.lab.datasets.runs import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. Rows are the candidates (`retrieve`, then `runs`) times the specs of `rerank`.

    `runs` are labelled; `collection` takes the place of the set's corpus; `top_k` candidates are retrieved
    (None: as the settings say; of a run: all). `fresh` measures again what is in the cache. `answers` asks
    the `answerer` (None: as the settings say) with the best passages of every row.
    """

    dataset: Dataset
    retrieve: Sequence[str] = ()
    runs: Sequence[tuple[str, Run]] = ()
    rerank: Sequence[str] = ("none",)
    collection: str | None = None
    top_k: int | None = None
    seed: int = 0
    fresh: bool = False
    answers: bool = False
    answerer: str | None = None
