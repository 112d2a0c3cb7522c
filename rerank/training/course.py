"""How a cross-encoder is trained, and how that went: what plans and reports are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rerank.training.examples import Objective
from storage.errors import BadInputError

# What is told: the work, how much of it is done, how much there is.
Progress = Callable[[str, int, int], None]
# Log-odds for questions with passages.
Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
# How well passages are ordered by a scorer, in named figures; the first is what training looks at.
Measure = Callable[[Scorer], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How it is trained.

    `batch`: question-passage pairs a forward pass; `accumulate` of them make a step of the optimizer.
    `max_steps` and `max_minutes` (of this run) end it early. Every `eval_steps` steps (None: once an epoch)
    the dev questions are measured; `patience` of these in a row without a better one end it. A checkpoint
    every `checkpoint_steps` steps: so much can a kill cost. `pos_weight`: what a positive weighs under `bce`;
    None: as much as its negatives together.
    """

    objective: Objective = "bce"
    epochs: float = 1.0
    max_steps: int | None = None
    max_minutes: float | None = None
    batch: int = 32
    accumulate: int = 1
    learning_rate: float = 2e-5
    warmup: float = 0.1
    pos_weight: float | None = None
    eval_steps: int | None = None
    patience: int = 3
    checkpoint_steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "accumulate", "learning_rate", "checkpoint_steps", "patience"):
            if getattr(self, name) <= 0:
                raise BadInputError(f"{name} must be above 0, and is {getattr(self, name)}")
        for name in ("max_steps", "max_minutes", "eval_steps", "pos_weight"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise BadInputError(f"{name} must be above 0, and is {value}")
        if not 0 <= self.warmup < 1:
            raise BadInputError(f"warmup is a share of the steps, from 0 to below 1, and is {self.warmup}")


@dataclass(frozen=True, slots=True)
class DevRow:
    """How the dev questions were ordered after so many steps; `epoch` counts from 0, in parts."""

    step: int
    epoch: float
    metrics: Mapping[str, float]

    @property
    def figure(self) -> float:
        """What decides which weights are kept."""
        return next(iter(self.metrics.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """How it went. `best` is None without dev questions: then the last weights are the model's.

    `loss` is the mean of the last steps; `stopped` says why before the end; `resumed_from` is the step of the
    checkpoint that an earlier run left, 0 without one.
    """

    steps: int
    planned: int
    epochs: float
    loss: float | None
    dev: tuple[DevRow, ...]
    best: DevRow | None
    stopped: str
    resumed_from: int
    device: str
