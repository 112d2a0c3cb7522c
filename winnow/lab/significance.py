"""Significance of differences: the paired bootstrap over questions (Efron & Tibshirani 1993).

Questions are drawn with replacement, the same draw for every row and metric, so that differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
_BLOCK = 4_000_000  # drawn questions at a time: bounds the memory

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference with its 95 % interval; `p` is two-sided, against "no difference"."""

    mean: float
    interval: Interval
    p: float


def wilson(successes: int, of: int) -> Interval:
    """The 95 % interval of a share (Wilson 1927): it holds for few questions and shares near 0 and 1."""
    z = 1.959964
    share, spread = successes / of, z * z / of
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return Interval(max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread)))


def resampled_means(values: Matrix, *, seed: int, resamples: int = RESAMPLES) -> Matrix:
    """Means over drawn questions: from shape (questions, columns) to (resamples, columns)."""
    questions = len(values)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    step = max(1, _BLOCK // questions)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = rng.integers(0, questions, (count, questions)) + np.arange(count)[:, None] * questions
        often = np.bincount(drawn.ravel(), minlength=count * questions).reshape(count, questions)
        means[start : start + count] = often @ values / questions
    return means


def interval(means: npt.NDArray[np.float64]) -> Interval:
    """The middle 95 % of resampled means."""
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(low), float(high))


def difference(mean: float, means: npt.NDArray[np.float64]) -> Difference:
    """A mean difference from its resampled means.

    p is the share of resamples, shifted to "no difference", that are as far from 0 as the one seen.
    """
    as_far = np.abs(means - mean) >= abs(mean) - 1e-12
    return Difference(mean, interval(means), float((1 + as_far.sum()) / (1 + len(means))))


def paired_difference(before: Sequence[float], after: Sequence[float], *, seed: int) -> Difference:
    """The mean difference of two measurements of the same questions."""
    gains = np.array(after) - np.array(before)
    return difference(float(gains.mean()), resampled_means(gains[:, None], seed=seed)[:, 0])
