"""Renders lists, replays and comparisons of logged answers for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from storage.log.records import AnswerSummary, StageStats, StrategyStats
from storage.records import Answer
from winnow.app.replay import Replay
from winnow.cli.rank_chart import where
from winnow.cli.rendering import stage_line
from winnow.cli.terminal import ByWidth, safe
from winnow.lab.comparing import SpecRow

# Columns from which a list has room for more than ids, states and questions.
_ROOM_FOR_SPECS, _ROOM_FOR_TIMES = 100, 70
_FEEDBACK = {"good": "👍", "bad": "👎", None: ""}


def summaries(values: Sequence[AnswerSummary]) -> RenderableType:
    """Render one line per answer. The question takes the rest of the line, which narrow terminals keep free.

    There the rerank spec goes first, then the time.
    """
    columns: dict[str, Callable[[AnswerSummary], str]] = {
        "id": lambda value: value.id,
        "when": lambda value: f"{value.created_at.astimezone():%m-%d %H:%M}",
        "status": lambda value: value.status,
        "ms": lambda value: f"{value.ms:.0f}",
        "": lambda value: _FEEDBACK[value.feedback],
        "rerank": lambda value: value.rerank if value.replay_of is None else f"↺ {value.rerank}",
    }

    def table(width: int) -> Table:
        left_out = {"rerank"} if width < _ROOM_FOR_SPECS else set()
        left_out |= {"when", "ms"} if width < _ROOM_FOR_TIMES else set()
        made = Table(box=None, padding=(0, 2, 0, 0))
        shown = {name: cell for name, cell in columns.items() if name not in left_out}
        for name in shown:
            made.add_column(
                name,
                no_wrap=True,
                justify="right" if name == "ms" else "left",
                max_width=20 if name == "rerank" else None,
            )
        made.add_column("question", ratio=1)
        for value in values:
            question = safe(value.question)
            question.no_wrap, question.overflow = True, "ellipsis"
            made.add_row(*(safe(cell(value)) for cell in shown.values()), question)
        return made

    return ByWidth(table)


def replay(value: Replay) -> RenderableType:
    """Render the final passages of both, side by side, then the changes."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("logged", justify="right", no_wrap=True)
    table.add_column("replay", justify="right", no_wrap=True)
    table.add_column("passage", ratio=1)
    then = {c.id: c.ranks["final"] for c in value.original.final}
    now = {c.id: c.ranks["final"] for c in value.answer.final}
    every = {c.id: c for c in [*value.original.final, *value.answer.final]}
    for id_, candidate in sorted(
        every.items(), key=lambda item: (now.get(item[0], 99), then.get(item[0], 99))
    ):
        style = "" if id_ in now else "dim"
        table.add_row(str(then.get(id_, "–")), str(now.get(id_, "–")), where(candidate), style=style)
    return Group(
        safe(value.original.question, "bold"),
        safe(f"{value.original.rerank} → {value.answer.rerank}", "dim"),
        Text(),
        table,
        Text(f"overlap {value.overlap:.0%}  RBO {value.rbo:.3f}", style="bold"),
        *(safe(f"computed again: {name} ({why})", "dim") for name, why in value.recomputed.items()),
        Text(),
        *_answers(value),
        Text("logged: ", style="dim") + stage_line(value.original),
        Text("replay: ", style="dim") + stage_line(value.answer),
        safe(f"Look closer: winnow log show {value.answer.id}", "dim"),
    )


def comparison(rows: Sequence[SpecRow]) -> RenderableType:
    """Render one line per spec, without the columns that are empty for all."""
    columns: dict[str, Callable[[SpecRow], str]] = {
        "n": lambda row: str(row.answers),
        "overlap": lambda row: f"{row.overlap:.2f}",
        "RBO": lambda row: f"{row.rbo:.3f}",
        "p50 ms": lambda row: _asked_or_replayed(row, row.ms_p50),
        "p95 ms": lambda row: _asked_or_replayed(row, row.ms_p95),
        "fallbacks": lambda row: str(row.fallbacks),
    }
    if any(row.calls for row in rows):
        columns["calls"] = lambda row: str(row.calls)
        columns["cost"] = lambda row: "–" if row.cost is None else f"{row.cost:.4f}"
    if any(row.judged for row in rows):
        columns["judged"] = lambda row: str(row.judged)
        columns["nDCG@5"] = lambda row: "–" if row.ndcg is None else f"{row.ndcg:.3f}"
        columns["MRR"] = lambda row: "–" if row.mrr is None else f"{row.mrr:.3f}"
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("rerank", overflow="fold")
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(safe(row.spec), *(cell(row) for cell in columns.values()))
    against = [
        safe(
            f"{row.spec} against {rows[0].spec}: nDCG@5 {gain.mean:+.3f} "
            f"[{gain.interval.low:+.3f}, {gain.interval.high:+.3f}] p={gain.p:.3f}"
        )
        for row in rows
        if (gain := row.against_first)
    ]
    if untimed := [row.spec for row in rows if not row.timed]:
        what = "replays, without the store; a question takes another time"
        against.append(
            safe(f"≈ times of {what}: nothing in the log was asked with {'; '.join(untimed)}", "dim")
        )
    return Group(table, *against)


def _asked_or_replayed(row: SpecRow, ms: float) -> str:
    return f"{'' if row.timed else '≈ '}{ms:.1f}"


def statistics(rows: Sequence[StrategyStats]) -> RenderableType:
    """Render one line per spec, and one below it for each of its stages."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("rerank / stage")
    for heading in ("answers", "p50 ms", "p95 ms", "cost", "flagged", "fallbacks", "👍", "👎", "judged"):
        table.add_column(heading, justify="right")
    for row in rows:
        counts = (row.flagged, row.fallbacks, row.good, row.bad, row.judged)
        table.add_row(safe(row.rerank, "bold"), str(row.answers), *_spent(row), *map(str, counts))
        for stage in row.stages:
            flagged = stage.repaired + stage.partial + stage.fallbacks
            cells = (str(stage.runs), *_spent(stage), str(flagged), str(stage.fallbacks))
            table.add_row(safe(f"  {stage.name}"), *cells, style="dim")
    return table


def _spent(row: StrategyStats | StageStats) -> tuple[str, str, str]:
    return f"{row.ms_p50:.0f}", f"{row.ms_p95:.0f}", "–" if row.cost is None else f"{row.cost:.4f}"


def prompt(value: Answer) -> RenderableType:
    """Render the prompts of a follow-up's rewriter and of the answerer."""
    rewriting = value.follow_up.prompt if value.follow_up else ""
    sent = [text for text in (rewriting and f"<rewrite>\n{rewriting}", value.prompt) if text]
    return safe("\n\n".join(sent)) if sent else Text("No prompt: no language model was asked.", style="dim")


def exchanges(value: Answer) -> RenderableType:
    """Render the language model calls that were kept."""
    parts: list[RenderableType] = []
    for stage in value.stages:
        for number, exchange in enumerate(stage.exchanges, start=1):
            parts.append(safe(f"{stage.name} call {number}: {exchange.model}, {exchange.ms:.0f} ms", "bold"))
            parts += [safe(f"{role}: {content}", "dim") for role, content in exchange.messages]
            parts.append(safe(exchange.error or exchange.reply, "red" if exchange.error else ""))
    return Group(*parts) if parts else Text("No calls were kept: set log.llm_calls = true.", style="dim")


def _answers(value: Replay) -> list[RenderableType]:
    if value.original.text == value.answer.text:
        return [safe(value.answer.text), Text("The answer is the same.", style="dim"), Text()]
    old, new = safe(value.original.text, "dim"), safe(value.answer.text)
    return [Text("logged: ", style="dim") + old, Text("replay: ", style="dim") + new, Text()]
