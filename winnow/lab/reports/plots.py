"""Scatter plots and bars as inline SVG: no script, no font, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from winnow.lab.reports.page import render

_WIDTH, _HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 16, 48


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a scatter plot; `low` to `high` is drawn as its interval in y.

    `number` is its label and picks its colour; 0: its place among the dots.
    """

    label: str
    x: float
    y: float
    low: float
    high: float
    number: int = 0


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (
            math.log10(part) if self.logarithmic else part for part in (self.low, self.high, value)
        )
        return self.start + (self.end - self.start) * ((at - low) / (high - low) if high > low else 0.5)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            powers = [10.0**power for power in range(first, last + 1)]
            return [tick for tick in powers if self.low <= tick <= self.high]
        step = (self.high - self.low) / 4
        return [self.low + step * n for n in range(5)]


def scatter(dots: Sequence[Dot], *, x_label: str, y_label: str, logarithmic: bool = False) -> Markup:
    """An SVG of numbered dots with intervals; with `logarithmic`, x must be above 0."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    bounds = [bound for dot in dots for bound in (dot.low, dot.high)]
    drawn = render(
        "scatter.svg",
        dots=dots,
        x_label=x_label,
        y_label=y_label,
        xs=_Scale(*_padded([dot.x for dot in dots], logarithmic), _LEFT, right, logarithmic),
        ys=_Scale(*_padded(bounds, False), bottom, _TOP),
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=right,
        top=_TOP,
        bottom=bottom,
    )
    return Markup(drawn)


def gains(values: Sequence[float]) -> Markup:
    """An SVG of differences in [-1, 1], sorted: wins above the line, losses below; ties are left out."""
    width, height = 560, 120
    ordered = sorted((value for value in values if value), reverse=True)
    won = [value for value in ordered if value > 0]
    step, middle = width / max(1, len(ordered)), height // 2
    areas = [
        (3, _area(won, 0.0, step, middle)),
        (2, _area(ordered[len(won) :], len(won) * step, step, middle)),
    ]
    return Markup(render("gains.svg", width=width, height=height, middle=middle, areas=areas))


def _area(values: Sequence[float], start: float, step: float, middle: int) -> str:
    """One path for all bars of a kind: thousands of questions stay a small file."""
    if not values:
        return ""
    tall = middle - 4
    bars = "".join(
        f"V{middle - value * tall:.1f}H{start + step * place:.2f}" for place, value in enumerate(values, 1)
    )
    return f"M{start:.2f} {middle}{bars}V{middle}Z"


def _padded(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if logarithmic:
        return 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9)
    room = (high - low) * 0.1 or max(abs(high) * 0.1, 0.01)
    return low - room, high + room
