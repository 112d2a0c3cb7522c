"""The rank movement of an answer, laid out for an SVG: a line a candidate, a column a stage.

Ranks run downwards from 1 on a scale that is wide at the top, where the places matter; sizes are in the units
of the SVG's view box. A line ends where its candidate was dropped. A stage that did not see a candidate is
passed over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from storage.records import AROUND_RERANK, Answer, Candidate, Chunk, Outcome
from winnow.server.pages.views.movement import Movement, movement, rerank_stages
from winnow.server.pages.views.passages import Marked, cut, label_of, marked, name_of, short_of

WIDTH = 840
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 540, 72, 16
_TALLEST, _A_RANK = 430, 40
# How much the scale spares the last ranks: with 50 of them the first five get a quarter of the height.
_SOFT = 3
_TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
_LABEL_CELLS, _LABEL_HEIGHT = 33, 14
_LETTER = 8
# So many have a colour of their own.
STRONG = 5
# More lines than these are a grey wall; the final ones are always among them.
_MOST = 100
_RETRIEVAL, _FINAL = "retrieval", "final"
_LEGS = ("dense", "lexical")


@dataclass(frozen=True, slots=True)
class Step:
    """Where a candidate stood at a stage."""

    stage: str
    rank: int
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A stage: `ranked` candidates stood in it, the ways of `dropped` end in it.

    `outcome` is None for the final places; `gap` is the x between it and the next. `label` is the name, as
    far as there is room for it.
    """

    name: str
    label: str
    x: float
    gap: float
    ranked: int
    dropped: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Tick:
    """A rank that the scale names."""

    rank: int
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One candidate's way.

    `number` counts the answer's candidates from 1; `place` is the final one, None for what was dropped.
    `name` is all that its passage is called, `short` a shorter name, `label` one that fits the picture.
    `steps` are the columns that saw it, `told` all its ranks, those that were fused into others too.
    `path` is an SVG path, `dots` are its corners, `label_y` is where its name stands, None where there is no
    room for one.
    """

    number: int
    place: int | None
    cited: bool
    chunk: Chunk
    name: str
    short: str
    label: str
    label_y: float | None
    steps: tuple[Step, ...]
    told: tuple[Step, ...]
    path: str
    dots: tuple[tuple[float, float], ...]
    text: Sequence[Marked]

    @property
    def way(self) -> str:
        """Its ranks, for who hears the picture: `12 → 3 → 1`."""
        return " → ".join(str(step.rank) for step in self.steps)

    @property
    def style(self) -> str:
        """The class that colours it."""
        if self.place is None:
            return "dropped"
        return f"place-{self.place}" if self.place <= STRONG else "kept"


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate in the table: its rank at each of `Bump.stages`, None where one did not see it."""

    name: str
    final: bool
    ranks: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bump:
    """The whole picture. `lines` are in the answer's order, the final ones first; `undrawn` counts the rest.

    `rows` are all candidates as a table, with a rank a stage of `stages`. `prefix` begins the ids of its
    parts: two pictures on one page have different ones.
    """

    prefix: str
    columns: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    height: float
    undrawn: int
    movement: Movement
    stages: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def width(self) -> int:
        return WIDTH


def bump(answer: Answer, *, prefix: str = "") -> Bump:
    """The picture of an answer's candidates."""
    layout = _Layout.of(answer)
    spans: dict[str, list[tuple[int, int]]] = {}
    for citation in answer.citations:
        spans.setdefault(citation.chunk_id, []).extend(
            [(citation.start, citation.end)] if citation.quote else []
        )
    drawn = _drawn(answer.candidates)
    reranks = (stage.name for stage in answer.stages if stage.name not in AROUND_RERANK)
    stages = tuple(name for name in (*_LEGS, _RETRIEVAL, *reranks, _FINAL) if _ranked(answer, name))
    return Bump(
        prefix=prefix,
        columns=layout.columns,
        ticks=layout.ticks(),
        lines=_labelled([layout.line(n, answer.candidates[n - 1], stages, spans) for n in drawn]),
        height=layout.bottom + _BOTTOM,
        undrawn=len(answer.candidates) - len(drawn),
        movement=movement(answer),
        stages=stages,
        rows=tuple(
            Row(label_of(one.chunk), _FINAL in one.ranks, tuple(map(one.ranks.get, stages)))
            for one in answer.candidates
        ),
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: tuple[Column, ...]
    last: int
    bottom: float

    @classmethod
    def of(cls, answer: Answer) -> _Layout:
        outcomes = {_RETRIEVAL: _retrieval(answer)} | {stage.name: stage for stage in rerank_stages(answer)}
        names = [*outcomes, _FINAL]
        last = max(
            (one.ranks[name] for one in answer.candidates for name in names if name in one.ranks), default=1
        )
        step = (_RIGHT - _LEFT) / (len(names) - 1)
        columns = tuple(
            Column(
                name=name,
                label=cut(name, int(step / _LETTER)),
                x=round(_LEFT + at * step, 1),
                gap=round(_LEFT + (at + 0.5) * step, 1),
                ranked=_ranked(answer, name),
                dropped=_dropped(answer, name, names[at + 1 :]),
                outcome=outcomes.get(name),
            )
            for at, name in enumerate(names)
        )
        return cls(columns, last, _TOP + min(_TALLEST, _A_RANK * max(1, last - 1)))

    def y(self, rank: int) -> float:
        share = math.log((rank + _SOFT) / (1 + _SOFT)) / math.log((max(2, self.last) + _SOFT) / (1 + _SOFT))
        return round(_TOP + share * (self.bottom - _TOP), 1)

    def ticks(self) -> tuple[Tick, ...]:
        return tuple(Tick(rank, self.y(rank)) for rank in _TICKS if rank <= self.last)

    def line(
        self,
        number: int,
        candidate: Candidate,
        stages: Sequence[str],
        spans: dict[str, list[tuple[int, int]]],
    ) -> Line:
        seen = [column for column in self.columns if column.name in candidate.ranks]
        dots = tuple((column.x, self.y(candidate.ranks[column.name])) for column in seen)
        return Line(
            number=number,
            place=candidate.ranks.get(_FINAL),
            cited=candidate.id in spans,
            chunk=candidate.chunk,
            name=label_of(candidate.chunk),
            short=short_of(candidate.chunk),
            label=_short(candidate.chunk),
            label_y=None,
            steps=_steps(candidate, [column.name for column in seen]),
            told=_steps(candidate, stages),
            path=_path(dots),
            dots=dots,
            text=marked(candidate.chunk, spans.get(candidate.id, ())),
        )


def _retrieval(answer: Answer) -> Outcome:
    return next((stage for stage in answer.stages if stage.name == _RETRIEVAL), Outcome(_RETRIEVAL))


def _ranked(answer: Answer, name: str) -> int:
    return sum(name in candidate.ranks for candidate in answer.candidates)


def _dropped(answer: Answer, name: str, later: Sequence[str]) -> int:
    """How many stood there last, and are not final."""
    if not later:
        return 0
    return sum(name in one.ranks and not any(map(one.ranks.get, later)) for one in answer.candidates)


def _short(chunk: Chunk) -> str:
    """A name for the line's end: document and innermost heading, each cut to its share."""
    name, short = name_of(chunk), short_of(chunk)
    inner = short.removeprefix(name).removeprefix(" › ")
    return cut(short if not inner else f"{cut(name, _LABEL_CELLS // 2)} › {inner}", _LABEL_CELLS)


def _steps(candidate: Candidate, names: Sequence[str]) -> tuple[Step, ...]:
    ranks, scores = candidate.ranks, candidate.scores
    return tuple(Step(name, ranks[name], scores.get(name)) for name in names if name in ranks)


def _drawn(candidates: Sequence[Candidate]) -> list[int]:
    """The numbers of those that are drawn: the final ones, then who stood highest at any stage."""
    places = sorted(
        range(1, len(candidates) + 1),
        key=lambda n: (
            _FINAL not in candidates[n - 1].ranks,
            min(candidates[n - 1].ranks.values(), default=math.inf),
        ),
    )
    return sorted(places[:_MOST])


def _path(dots: Sequence[tuple[float, float]]) -> str:
    """A curve that leaves and enters each column level."""
    if not dots:
        return ""
    parts = [f"M{dots[0][0]} {dots[0][1]}"]
    for (left, high), (right, low) in pairwise(dots):
        middle = round((left + right) / 2, 1)
        parts.append(f"C{middle} {high} {middle} {low} {right} {low}")
    return "".join(parts)


def _labelled(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines, those of the final places with their names where these do not touch."""
    found, free = [], -math.inf
    for line in lines:
        if line.place is not None and line.dots and line.dots[-1][1] >= free:
            free = line.dots[-1][1] + _LABEL_HEIGHT
            line = replace(line, label_y=line.dots[-1][1])
        found.append(line)
    return tuple(found)
