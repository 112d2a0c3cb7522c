"""A comparison of rerank specs as its page shows it: the plots, and where the specs disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from winnow.lab.comparing import ComparedAnswer, FinalPassage, SpecRow
from winnow.lab.reports.comparison import disputed, plots
from winnow.lab.reports.plots import scatter
from winnow.server.pages.words import Words


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot: `x` and `y` say what stands on its axes, `svg` escapes what is in it."""

    x: str
    y: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Passage:
    """A final passage of one ranking; `new` where the logged ranking has it not."""

    passage: FinalPassage
    new: bool


@dataclass(frozen=True, slots=True)
class Ranked:
    """One spec's ranking of an answer's candidates; `number` is the spec's in the table."""

    number: int
    spec: str
    figures: ComparedAnswer
    passages: Sequence[Passage]
    as_logged: bool


@dataclass(frozen=True, slots=True)
class Dispute:
    """An answer on which some spec is unlike the log: `rbo` is the least agreement."""

    question: str
    answer_id: str
    rbo: float
    logged: Sequence[FinalPassage]
    ranked: Sequence[Ranked]


def pictures(rows: Sequence[SpecRow], words: Words) -> list[Picture]:
    """The plots of a comparison, their axes named in the reader's language."""
    return [
        Picture(
            plot.x,
            plot.y,
            # drawn of numbers; the labels are escaped where it is drawn
            Markup(
                scatter(
                    plot.dots,
                    x_label=words(f"plot.{plot.x}"),
                    y_label=plot.y,
                    logarithmic=plot.x == "latency",
                )
            ),
        )
        for plot in plots(rows)
    ]


def disputes(rows: Sequence[SpecRow]) -> list[Dispute]:
    """The answers on which the specs disagree most with the log, the worst first."""
    return [_dispute([row.each[place] for row in rows], rows) for place in disputed(rows)]


def _dispute(each: Sequence[ComparedAnswer], rows: Sequence[SpecRow]) -> Dispute:
    first = each[0]
    before = [passage.chunk_id for passage in first.logged]
    ranked = [
        Ranked(
            number=number,
            spec=row.spec,
            figures=one,
            passages=[Passage(passage, passage.chunk_id not in before) for passage in one.replayed],
            as_logged=[passage.chunk_id for passage in one.replayed] == before,
        )
        for number, (row, one) in enumerate(zip(rows, each, strict=True), 1)
    ]
    return Dispute(first.question, first.answer_id, min(one.rbo for one in each), first.logged, ranked)
