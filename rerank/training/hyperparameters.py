"""Hyperparameters of a training, and its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rerank.training.examples import Objective
from storage.errors import BadInputError

# The step's name, how much of it is done, how much there is.
Progress = Callable[[str, int, int], None]
# Log-odds for questions with passages.
Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
# Metrics by name of the order that a scorer gives; the first one selects the best weights.
Measure = Callable[[Scorer], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """The settings of a training.

    `batch`: question-passage pairs per forward pass; `accumulate` batches make a step of the optimizer.
    `max_steps` and `max_minutes` (of this run) end it early. The dev questions are measured every
    `eval_steps` steps (None: once per epoch); `patience` measurements in a row without an improvement end it.
    There is a checkpoint every `checkpoint_steps` steps, the most that a kill costs. `pos_weight`: the weight
    of a positive under `bce`; None: that of its negatives together.
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
    """The metrics on the dev questions after a step; `epoch` is fractional, from 0."""

    step: int
    epoch: float
    metrics: Mapping[str, float]

    @property
    def figure(self) -> float:
        """The metric that decides which weights are kept."""
        return next(iter(self.metrics.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The results. `best` is None without dev questions: the last weights are then the model's.

    `loss` is the mean of the last steps; `stopped` says why it ended early; `resumed_from` is the step of an
    earlier run's checkpoint, 0 without one.
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
