"""Scatter plots and bars as inline SVG: no script, no font, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 16, 48
# Told apart by most people who see colours differently (Okabe & Ito 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "currentColor", "#999999")


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a scatter plot; `low` to `high` is drawn as its interval in y.

    `number` stands beside it and gives its colour; 0: its place among the dots.
    """

    label: str
    x: float
    y: float
    low: float
    high: float
    number: int = 0


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (self._seen(part) for part in (self.low, self.high, value))
        return self.start + (self.end - self.start) * ((at - low) / (high - low) if high > low else 0.5)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            found = [10.0**power for power in range(first, last + 1)]
            return [tick for tick in found if self.low <= tick <= self.high]
        step = (self.high - self.low) / 4
        return [self.low + step * n for n in range(5)]

    def _seen(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def scatter(dots: Sequence[Dot], *, x_label: str, y_label: str, logarithmic: bool = False) -> str:
    """An SVG of numbered dots with intervals; with `logarithmic`, x must be above 0."""
    xs = _Scale(*_padded([dot.x for dot in dots], logarithmic), _LEFT, _WIDTH - _RIGHT, logarithmic)
    lows, highs = [dot.low for dot in dots], [dot.high for dot in dots]
    ys = _Scale(*_padded([*lows, *highs], False), _HEIGHT - _BOTTOM, _TOP)
    parts = [
        *_axes(xs, ys, x_label, y_label),
        *(_dot(dot.number or place, dot, xs, ys) for place, dot in enumerate(dots, 1)),
    ]
    return _svg(_WIDTH, _HEIGHT, parts, f"{y_label} against {x_label}")


def gains(values: Sequence[float]) -> str:
    """An SVG of differences in [-1, 1], sorted: above the line won, beneath lost; even ones are left out."""
    width, height, middle = 560, 120, 60
    found = sorted((value for value in values if value), reverse=True)
    step = width / max(1, len(found))
    won = [value for value in found if value > 0]
    tall = middle - 4
    parts = [
        _steps(won, 0.0, step, middle, tall, COLOURS[2]),
        _steps(found[len(won) :], len(won) * step, step, middle, tall, COLOURS[1]),
        f'<path d="M0 {middle}H{width}" stroke="currentColor"/>',
    ]
    return _svg(width, height, parts, "difference of each question against the first row")


def _steps(
    values: Sequence[float], start: float, step: float, middle: float, tall: float, colour: str
) -> str:
    """One area for all bars of a kind: thousands of questions stay a small file."""
    if not values:
        return ""
    bars = "".join(
        f"V{middle - value * tall:.1f}H{start + step * place:.2f}" for place, value in enumerate(values, 1)
    )
    return f'<path class="bars" d="M{start:.2f} {middle}{bars}V{middle}Z" fill="{colour}"/>'


def _axes(xs: _Scale, ys: _Scale, x_label: str, y_label: str) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="currentColor"/>']
    for tick in xs.ticks():
        parts.append(_text(xs(tick), bottom + 18, _number(tick), "middle"))
        parts.append(f'<path d="M{xs(tick):.1f} {bottom}v5" stroke="currentColor"/>')
    for tick in ys.ticks():
        parts.append(_text(_LEFT - 8, ys(tick) + 4, f"{tick:.3f}", "end"))
        parts.append(f'<path d="M{_LEFT} {ys(tick):.1f}H{right}" stroke="currentColor" opacity="0.15"/>')
    parts.append(_text((_LEFT + right) / 2, _HEIGHT - 8, x_label, "middle"))
    parts.append(
        f'<text transform="translate(14 {(_TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return parts


def _dot(number: int, dot: Dot, xs: _Scale, ys: _Scale) -> str:
    colour = COLOURS[(number - 1) % len(COLOURS)]
    x, y = xs(dot.x), ys(dot.y)
    return (
        f"<g><title>{escape(dot.label)}: {dot.y:.4f}</title>"
        f'<path d="M{x:.1f} {ys(dot.low):.1f}V{ys(dot.high):.1f}" stroke="{colour}" stroke-width="2"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>'
        + _text(x + 10, y - 6, str(number), "start")
        + "</g>"
    )


def _padded(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if logarithmic:
        return 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9)
    room = (high - low) * 0.1 or max(abs(high) * 0.1, 0.01)
    return low - room, high + room


def _number(value: float) -> str:
    return f"{value:.6g}"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
