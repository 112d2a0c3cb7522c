"""Charts in characters: the ranks of candidates from retrieval to the answer, and the time of each stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from storage.records import AROUND_RERANK, Answer, Candidate
from winnow.cli.terminal import safe

_WIDE, _NARROW, _WIDE_TERMINAL = 40, 22, 110
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
STATUS_STYLE = {"ok": "green", "repaired": "yellow", "partial": "yellow", "fallback": "red"}


class RankChart:
    """One line per candidate: those that were kept, and those that lost a place among the first.

    Ranks run from left (1) to right on a logarithmic scale, since the first places matter most.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._stages = [stage.name for stage in answer.stages if stage.name not in AROUND_RERANK]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._answer.final:
            yield self._funnel()
            yield self._table(_WIDE if options.max_width >= _WIDE_TERMINAL else _NARROW)
            yield Text("○ retrieved  ┼ a stage  ● kept  × left out  ✓ cited", style="dim")

    def _funnel(self) -> Text:
        """The number of candidates that each stage ranked, and of those that were kept."""
        candidates = self._answer.candidates
        parts = [f"{len(candidates)} retrieved"]
        for name in self._stages:
            seen = sum(name in candidate.ranks for candidate in candidates)
            parts.append(f"{name} ranked {seen}" if seen else f"{name} ranked none")
        return safe(" → ".join([*parts, f"{len(self._answer.final)} kept"]), "bold")

    def _table(self, width: int) -> Table:
        last = len(self._answer.candidates)
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column("#", justify="right", no_wrap=True)
        table.add_column(_axis(last, width), width=width, no_wrap=True)
        table.add_column("moved", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("passage", ratio=1)
        cited = {citation.chunk_id for citation in self._answer.citations}
        for candidate in [*self._answer.final, *self._lost()]:
            way = self._way(candidate)
            table.add_row(
                str(candidate.ranks.get("final", "")),
                _track(way, last, width, kept="final" in candidate.ranks),
                moved(way[0] - way[-1] if way else None),
                Text("✓", style="green") if candidate.id in cited else "",
                where(candidate),
                style="" if "final" in candidate.ranks else "dim",
            )
        return table

    def _lost(self) -> list[Candidate]:
        """Candidates that some stage ranked high enough to be kept but that were left out, best first."""
        places = len(self._answer.final)
        ways = {
            candidate.id: min(self._way(candidate), default=places + 1)
            for candidate in self._answer.candidates
            if "final" not in candidate.ranks
        }
        lost = [one for one in self._answer.candidates if ways.get(one.id, places + 1) <= places]
        return sorted(lost, key=lambda one: ways[one.id])

    def _way(self, candidate: Candidate) -> list[int]:
        """A candidate's ranks from retrieval to the end, at the stages that saw it."""
        names = ["retrieval", *self._stages, "final"]
        return [candidate.ranks[name] for name in names if name in candidate.ranks]


def timings(answer: Answer) -> RenderableType:
    """Draw a bar per stage, as long as its share of the whole time, with its calls and cost."""
    total = max(answer.timings_ms.get("total", 0.0), sum(stage.ms for stage in answer.stages))
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=24)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    told: set[str] = set()
    for stage in answer.stages:
        spent = [f"{stage.usage.calls} calls"] if stage.usage.calls else []
        spent += [f"{stage.usage.cached} cached"] if stage.usage.cached else []
        spent += [f"cost {stage.usage.cost:.5f}"] if stage.usage.cost is not None else []
        status = Text(stage.status, style=STATUS_STYLE[stage.status])
        remarks = safe(", ".join([*spent, *_once(stage.reason, told)]), "dim")
        table.add_row(safe(stage.name), _bar(stage.ms, total), f"{stage.ms:.0f} ms", status, remarks)
    return Group(table, Text(f"total {total:.0f} ms", style="dim"))


def _once(reason: str, told: set[str]) -> list[str]:
    """Return the reason of a stage, or a short word where one above has the same."""
    if not reason:
        return []
    known = reason in told
    told.add(reason)
    return ["the same reason" if known else reason]


def _bar(ms: float, total: float) -> Text:
    """Draw a bar in eighths of a cell, so that a short stage is still visible."""
    eighths = round(ms / total * 24 * 8) if total else 0
    whole, rest = divmod(max(eighths, 1 if ms else 0), 8)
    return Text("█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else ""), style="cyan")


def _column(rank: int, last: int, width: int) -> int:
    return round(math.log(rank) / math.log(max(2, last)) * (width - 1))


def _axis(last: int, width: int) -> Text:
    """Label the scale with ranks, as far as there is room."""
    line = [" "] * width
    free = 0
    for tick in [*(tick for tick in _TICKS if tick < last), last]:
        label = str(tick)
        start = min(_column(tick, last, width), width - len(label))
        if start >= free:
            line[start : start + len(label)] = label
            free = start + len(label) + 1
    return Text("".join(line))


def _track(way: Sequence[int], last: int, width: int, *, kept: bool) -> Text:
    """Draw a line from the first rank to the last: green for a candidate that rose, red for one that fell."""
    if not way:
        return Text()
    columns = [_column(rank, last, width) for rank in way]
    line: Mapping[int, str] = {
        **dict.fromkeys(range(min(columns), max(columns) + 1), "─"),
        **dict.fromkeys(columns[1:-1], "┼"),
        columns[0]: "○",
        columns[-1]: "●" if kept else "×",
    }
    text = "".join(line.get(column, " ") for column in range(width))
    rise = way[0] - way[-1]
    return Text(text, style="green" if rise > 0 else "red" if rise < 0 else "")


def moved(rise: int | None) -> Text:
    """Format the number of places that a candidate rose (or fell); None for one without a rank."""
    if not rise:
        return Text("–" if rise is None else "=", style="dim")
    return Text(f"↑{rise}", style="green") if rise > 0 else Text(f"↓{-rise}", style="red")


def where(candidate: Candidate) -> Text:
    """Format a passage's title, page or headings on one line, cut rather than wrapped."""
    chunk = candidate.chunk
    page = f"p. {chunk.page} › " if chunk.page is not None else ""
    text = safe(page + (chunk.context or " ".join(candidate.text.split())[:160]))
    # no wrapping here rather than in the column: rich shrinks the columns that may wrap first
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
