"""How making training data looks on a terminal: what would be asked, what was kept, what was not and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from storage.records import Usage
from winnow.cli.terminal import safe
from winnow.lab.synthesis.reports import Estimate, MiningReport, SynthesisReport

_UNITS = {"queries": "passages", "passages": "questions", "labels": "questions"}


def estimate(value: Estimate) -> RenderableType:
    """What would be asked."""
    line = Text("dry run, nothing was asked: ", style="yellow")
    line.append(f"at most {value.calls} calls", style="bold")
    line.append(
        f" for {value.units} {_UNITS[value.method]}, about {_tokens(value.prompt_tokens)} tokens sent "
    )
    line.append(f"and {_tokens(value.completion_tokens)} received")
    cost = "cost unknown: no price in llm.prices" if value.cost is None else f"about {value.cost:.4g}"
    details = safe(f"{value.model} at {value.endpoint}, {cost}", "dim")
    if value.paid:
        details.append(f"; {value.paid} replies are paid for already")
    return Group(line, details)


def synthesis(value: SynthesisReport) -> RenderableType:
    """What was kept, what was not, what it cost."""
    line = Text(f"{value.kept} records kept", style="bold green" if value.kept else "bold red")
    line.append(f" from {value.units} {_UNITS[value.method]}", style="bold")
    line.append(f"  {_spent(value.usage)}, {value.seconds:.1f} s", style="dim")
    return Group(
        line, *_counts("rejected", value.rejected), *_counts("not taken as negatives", value.dropped)
    )


def remarks(value: SynthesisReport) -> Iterator[str]:
    """What a person should know before relying on the result."""
    if value.left:
        why = f" ({value.stopped})" if value.stopped else ""
        yield f"{value.left} are left for a later run{why}: run the same command again, nothing is paid twice"
    if value.problems:
        yield value.problems


def mining(value: MiningReport) -> RenderableType:
    """What was mined."""
    line = Text(f"{value.records} records", style="bold green" if value.records else "bold red")
    line.append(f" from {value.questions} questions, {value.negatives} negatives", style="bold")
    line.append(f"  {value.seconds:.1f} s", style="dim")
    if value.short:
        line.append(f"\n{value.short} records have fewer negatives than were wanted", style="dim")
    return Group(line, *_counts("without a record", value.skipped), *_counts("not taken", value.dropped))


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[RenderableType]:
    if not counts:
        return
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(justify="right")
    table.add_column()
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(str(count), safe(reason, "dim"))
    yield Text(f"{title}:")
    yield table


def _spent(usage: Usage) -> str:
    parts = [f"{usage.calls} calls", f"{_tokens(usage.prompt_tokens + usage.completion_tokens)} tokens"]
    if usage.cached:
        parts.append(f"{usage.cached} replies from the journal")
    parts.append("cost unknown" if usage.cost is None and usage.calls else f"cost {usage.cost or 0:.4g}")
    return ", ".join(parts)


def _tokens(count: int) -> str:
    return f"{count:,}".replace(",", " ")
