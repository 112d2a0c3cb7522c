"""How training and the gate look on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from winnow.cli.terminal import safe, shortened
from winnow.lab.training.gate import Verdict
from winnow.lab.training.plans import TrainReport
from winnow.lab.training.promote import Promotion

_TOO_FEW = 10_000


def training(report: TrainReport) -> RenderableType:
    """What was learned from, and how well it went."""
    fitted = report.fitted
    line = Text("trained", style="bold green")
    line.append(f" on {report.questions} questions, {report.pairs} pairs an epoch", style="bold")
    line.append(f"  {fitted.steps} steps, {fitted.epochs:g} epochs, {report.seconds:.0f} s", style="dim")
    details = safe(
        f"{report.kind} {report.base}, {report.objective}, "
        f"{report.weights:,} of {report.all_weights:,} weights, {fitted.device}",
        "dim",
    )
    return Group(line, details, *_dev(report))


def remarks(report: TrainReport) -> Iterator[str]:
    """What a person should know before relying on the model."""
    fitted = report.fitted
    if fitted.stopped:
        yield f"ended early: {fitted.stopped}"
    if not fitted.dev:
        yield "there were no dev questions: how good the model is, is not known"
    if report.before and fitted.best and fitted.best.figure <= report.before.figure:
        yield "the base itself ordered the dev questions as well: nothing was gained"
    if report.pairs < _TOO_FEW and report.kind != "cross-encoder":
        yield (
            f"a new cross-encoder wants tens of thousands of pairs, and had {report.pairs}: "
            "one that learned too little is worse than none, so hold it against the current one (--gate)"
        )
    if report.cut:
        yield f"{report.cut:.1%} of the pairs are longer than {report.max_length} tokens, and were cut"
    for reason, count in report.left_out.items():
        yield f"left out: {count} {reason}"


def weighed(verdict: Verdict) -> RenderableType:
    """The current reranker and the new one, side by side."""
    head = Text("passed", style="bold green") if verdict.passed else Text("not promoted", style="bold red")
    head.append(f"  {verdict.questions} questions of {verdict.held_out}", style="dim")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("", "current", "new", "difference (95 %)"):
        table.add_column(name, justify="left" if not name else "right", header_style="dim")
    for name, (now, new) in verdict.metrics.items():
        found = verdict.differences[name]
        table.add_row(
            name,
            f"{now:.4f}",
            f"{new:.4f}",
            f"{found.mean:+.4f} ({found.interval.low:+.4f} to {found.interval.high:+.4f})",
        )
    if verdict.logged is not None:
        now, new = verdict.logged
        table.add_row(
            f"nDCG@5, {verdict.judged} judged answers", f"{now:.4f}", f"{new:.4f}", f"{new - now:+.4f}"
        )
    chains = [safe(f"current: {verdict.current}", "dim"), safe(f"new: {verdict.new}", "dim")]
    return Group(head, *chains, table, *(safe(f"- {reason}", "red") for reason in verdict.reasons))


def promoted(value: Promotion) -> RenderableType:
    """Where the setting was written."""
    line = Text("promoted: ", style="bold green")
    line.append_text(safe(f"{shortened(str(value.file))}, line {value.line}"))
    return Group(line, safe(f"  {value.text}"))


def _dev(report: TrainReport) -> Iterator[RenderableType]:
    best, before = report.fitted.best, report.before
    if best is None:
        return
    figures = ", ".join(
        f"{name} {value:.4f}" + (f" (before {before.metrics[name]:.4f})" if before else "")
        for name, value in best.metrics.items()
    )
    yield safe(f"{report.dev_questions} dev questions: {figures}, at step {best.step}")
