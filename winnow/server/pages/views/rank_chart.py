"""Lay out the rank movement of an answer for an SVG: one line per candidate, one column per stage.

Ranks run downwards from 1 on a scale that is wide at the top, where the ranks matter; sizes are in the units
of the SVG's view box. A line ends where its candidate was dropped. A stage that did not see a candidate is
skipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from storage.records import Answer, Chunk, Outcome
from winnow.server.pages.views.movement import Movement, movement, ranking_stages, rerank_stages
from winnow.server.pages.views.passages import CandidateView, candidates_of, cut, name_of, short_of

WIDTH = 840
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 540, 72, 16
_MAX_HEIGHT, _RANK_HEIGHT = 430, 40
# Compresses the last ranks: with 50 of them the first five get a quarter of the height.
_SOFTENING = 3
_TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
_LABEL_CELLS, _LABEL_HEIGHT = 33, 14
_LETTER_WIDTH = 8
# The first ranks have colours of their own.
COLOURED = 5
# More lines than these are a grey wall; the final ones are always among them.
_MAX_LINES = 100
_RETRIEVAL, _FINAL = "retrieval", "final"
# The two columns of a phone, whose heads are lower.
_NARROW_LEFT, _NARROW_RIGHT, _NARROW_UP = 34, 292, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartColumn:
    """A stage that ranked `ranked` candidates, `dropped` of which end here.

    `outcome` is None for the final column; `gap` is the x between it and the next one. `label` is the name,
    cut to its room.
    """

    name: str
    label: str
    x: float
    gap: float
    ranked: int
    dropped: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLine:
    """One candidate's way.

    `ranks` are those in the columns that saw it. `path` is an SVG path, `dots` are its corners. `label` is a
    name that fits the chart; `label_y` is None where there is no room for it. `narrow` is the path of two
    columns alone, retrieval and final, empty for what retrieval did not rank.
    """

    view: CandidateView
    label: str
    label_y: float | None
    ranks: tuple[int, ...]
    path: str
    dots: tuple[tuple[float, float], ...]
    narrow: str

    @property
    def way(self) -> str:
        """The ranks as text, for screen readers: `12 → 3 → 1`."""
        return " → ".join(map(str, self.ranks))

    @property
    def style(self) -> str:
        """The CSS class that colours it."""
        if self.view.place is None:
            return "dropped"
        return f"place-{self.view.place}" if self.view.place <= COLOURED else "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankChartView:
    """The chart of an answer, and a table of all its candidates' ranks.

    `lines` are in the answer's order, the final ones first; `undrawn` counts the candidates without a line.
    `ticks` are ranks that the scale names, with their y. `stages` are the table's columns. `prefix` begins
    the ids of the chart's parts, so that a page can show two.
    """

    prefix: str
    columns: tuple[ChartColumn, ...]
    ticks: tuple[tuple[int, float], ...]
    lines: tuple[CandidateLine, ...]
    height: float
    undrawn: int
    movement: Movement
    stages: tuple[str, ...]
    candidates: Sequence[CandidateView]
    collection: str
    width: int = WIDTH

    @property
    def drawn(self) -> Sequence[CandidateLine]:
        """The lines in the order of painting and of the keyboard: dropped ones first, below the others."""
        dropped = [line for line in self.lines if line.view.place is None]
        return [*dropped, *(line for line in self.lines if line.view.place is not None)]

    @property
    def narrow_ticks(self) -> str:
        """The beginnings of the dropped candidates' lines on a phone, as one SVG path."""
        return "".join(line.narrow for line in self.lines if line.view.place is None)


def rank_chart(answer: Answer, *, prefix: str = "") -> RankChartView:
    """Lay out the chart of an answer's candidates."""
    layout = _Layout.of(answer)
    candidates = candidates_of(answer)
    drawn = _drawn(candidates)
    return RankChartView(
        prefix=prefix,
        columns=layout.columns,
        ticks=tuple((rank, layout.y(rank)) for rank in _TICKS if rank <= layout.last),
        lines=_labelled([layout.line(view) for view in drawn]),
        height=layout.bottom + _BOTTOM,
        undrawn=len(candidates) - len(drawn),
        movement=movement(answer),
        stages=(*ranking_stages(answer), *([_FINAL] if answer.final else [])),
        candidates=candidates,
        collection=answer.collection,
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: tuple[ChartColumn, ...]
    last: int
    bottom: float

    @classmethod
    def of(cls, answer: Answer) -> _Layout:
        retrieval = next((stage for stage in answer.stages if stage.name == _RETRIEVAL), Outcome(_RETRIEVAL))
        outcomes = {_RETRIEVAL: retrieval} | {stage.name: stage for stage in rerank_stages(answer)}
        names = [*outcomes, _FINAL]
        last = max(
            (one.ranks[name] for one in answer.candidates for name in names if name in one.ranks), default=1
        )
        step = (_RIGHT - _LEFT) / (len(names) - 1)
        columns = tuple(
            ChartColumn(
                name=name,
                label=cut(name, int(step / _LETTER_WIDTH)),
                x=round(_LEFT + at * step, 1),
                gap=round(_LEFT + (at + 0.5) * step, 1),
                ranked=sum(name in candidate.ranks for candidate in answer.candidates),
                dropped=_dropped(answer, name, names[at + 1 :]),
                outcome=outcomes.get(name),
            )
            for at, name in enumerate(names)
        )
        return cls(columns, last, _TOP + min(_MAX_HEIGHT, _RANK_HEIGHT * max(1, last - 1)))

    def y(self, rank: int) -> float:
        share = math.log((rank + _SOFTENING) / (1 + _SOFTENING)) / math.log(
            (max(2, self.last) + _SOFTENING) / (1 + _SOFTENING)
        )
        return round(_TOP + share * (self.bottom - _TOP), 1)

    def line(self, view: CandidateView) -> CandidateLine:
        ranks = view.candidate.ranks
        seen = [(column.x, ranks[column.name]) for column in self.columns if column.name in ranks]
        dots = tuple((x, self.y(rank)) for x, rank in seen)
        if view.place is None:  # thin and many: whole units are exact enough, and half the page
            dots = tuple((round(x), round(y)) for x, y in dots)
        return CandidateLine(
            view=view,
            label=_label(view.chunk),
            label_y=None,
            ranks=tuple(rank for _, rank in seen),
            path=_path(dots),
            dots=dots,
            narrow=self._narrow(ranks),
        )

    def _narrow(self, ranks: Mapping[str, int]) -> str:
        """Draw a line of the two columns of a phone; that of a dropped candidate ends at once."""
        if _RETRIEVAL not in ranks:
            return ""
        left = (_NARROW_LEFT, round(self.y(ranks[_RETRIEVAL]) - _NARROW_UP, 1))
        if _FINAL not in ranks:
            return f"M{left[0]} {left[1]}h14"
        return _path((left, (_NARROW_RIGHT, round(self.y(ranks[_FINAL]) - _NARROW_UP, 1))))


def _dropped(answer: Answer, name: str, later: Sequence[str]) -> int:
    """Count the candidates that this stage was the last to rank."""
    if not later:
        return 0
    return sum(name in one.ranks and not any(map(one.ranks.get, later)) for one in answer.candidates)


def _label(chunk: Chunk) -> str:
    """Return a name for the end of a line: document and innermost heading, each cut to its share."""
    name, short = name_of(chunk), short_of(chunk)
    inner = short.removeprefix(name).removeprefix(" › ")
    return cut(short if not inner else f"{cut(name, _LABEL_CELLS // 2)} › {inner}", _LABEL_CELLS)


def _drawn(views: Sequence[CandidateView]) -> list[CandidateView]:
    """Choose the candidates to draw: the final ones, then those with the best rank at any stage."""
    chosen = sorted(
        views,
        key=lambda view: (view.place is None, min(view.candidate.ranks.values(), default=math.inf)),
    )
    return sorted(chosen[:_MAX_LINES], key=lambda view: view.number)


def _path(dots: Sequence[tuple[float, float]]) -> str:
    """Draw a curve that leaves and enters each column level."""
    if not dots:
        return ""
    parts = [f"M{dots[0][0]} {dots[0][1]}"]
    for (left, high), (right, low) in pairwise(dots):
        middle = round((left + right) / 2, 1)
        parts.append(f"H{right}" if high == low else f"C{middle} {high} {middle} {low} {right} {low}")
    return "".join(parts)


def _labelled(lines: Sequence[CandidateLine]) -> tuple[CandidateLine, ...]:
    """Label the lines that end in the final column, as far as the labels do not touch."""
    labelled, free = [], -math.inf
    for line in lines:
        if line.view.place is not None and line.dots and line.dots[-1][1] >= free:
            free = line.dots[-1][1] + _LABEL_HEIGHT
            line = replace(line, label_y=line.dots[-1][1])
        labelled.append(line)
    return tuple(labelled)
