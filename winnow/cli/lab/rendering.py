"""Results of evaluation, synthesis, mining, training and the gate, for a terminal 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from storage.records import Usage
from winnow.cli.terminal import safe, shortened
from winnow.lab.evaluation.results import AnswerFigures, Evaluation, EvaluationRow, cost
from winnow.lab.significance import Difference
from winnow.lab.synthesis.plans import MiningReport, SynthesisEstimate, SynthesisReport
from winnow.lab.training.gate import GateVerdict
from winnow.lab.training.plans import TrainReport
from winnow.lab.training.promote import Promotion

_SURE = 0.05
_TOO_FEW_PAIRS = 10_000
_UNITS = {"queries": "passages", "passages": "questions", "labels": "questions"}


def evaluation(found: Evaluation) -> RenderableType:
    """The metrics of each row, its differences from the first, its stages and its answers."""
    parts: list[RenderableType] = [_metrics(found)]
    if len(found.rows) > 1:
        parts += [Text(), _differences(found)]
    parts += [Text(), _stages(found)]
    if any(row.answers for row in found.rows):
        parts += [Text(), _answers(found)]
    parts += [line for number, row in enumerate(found.rows, 1) for line in _reasons(number, row)]
    return Group(*parts)


def estimate(value: SynthesisEstimate) -> RenderableType:
    """The calls and the cost of a run."""
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
    """The records kept, those rejected, and the cost."""
    line = Text(f"{value.kept} records kept", style="bold green" if value.kept else "bold red")
    line.append(f" from {value.units} {_UNITS[value.method]}", style="bold")
    line.append(f"  {_spent(value.usage)}, {value.seconds:.1f} s", style="dim")
    return Group(
        line, *_counts("rejected", value.rejected), *_counts("not taken as negatives", value.dropped)
    )


def synthesis_remarks(value: SynthesisReport) -> Iterator[str]:
    """Warnings about the result."""
    if value.left:
        why = f" ({value.stopped})" if value.stopped else ""
        yield f"{value.left} are left for a later run{why}: run the same command again, nothing is paid twice"
    if value.problems:
        yield value.problems


def mining(value: MiningReport) -> RenderableType:
    """The records mined."""
    line = Text(f"{value.records} records", style="bold green" if value.records else "bold red")
    line.append(f" from {value.questions} questions, {value.negatives} negatives", style="bold")
    line.append(f"  {value.seconds:.1f} s", style="dim")
    if value.short:
        line.append(f"\n{value.short} records have fewer negatives than were wanted", style="dim")
    return Group(line, *_counts("without a record", value.skipped), *_counts("not taken", value.dropped))


def training(report: TrainReport) -> RenderableType:
    """The data of a training, and its figures."""
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


def training_remarks(report: TrainReport) -> Iterator[str]:
    """Warnings about the model."""
    fitted = report.fitted
    if fitted.stopped:
        yield f"ended early: {fitted.stopped}"
    if not fitted.dev:
        yield "there were no dev questions: how good the model is, is not known"
    if report.before and fitted.best and fitted.best.figure <= report.before.figure:
        yield "the base itself ordered the dev questions as well: nothing was gained"
    if report.pairs < _TOO_FEW_PAIRS and report.kind != "cross-encoder":
        yield (
            f"a new cross-encoder wants tens of thousands of pairs, and had {report.pairs}: "
            "one that learned too little is worse than none, so hold it against the current one (--gate)"
        )
    if report.cut:
        yield f"{report.cut:.1%} of the pairs are longer than {report.max_length} tokens, and were cut"
    for reason, count in report.left_out.items():
        yield f"left out: {count} {reason}"


def weighed(verdict: GateVerdict) -> RenderableType:
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
    """The place of the new setting."""
    line = Text("promoted: ", style="bold green")
    line.append_text(safe(f"{shortened(str(value.file))}, line {value.line}"))
    return Group(line, safe(f"  {value.text}"))


def _metrics(found: Evaluation) -> Table:
    table = _table(f"{found.dataset}: {found.questions} questions", list(found.rows[0].metrics))
    for number, row in enumerate(found.rows, 1):
        table.add_row(str(number), _label(row), *(f"{value:.4f}" for value in row.metrics.values()))
    return table


def _differences(found: Evaluation) -> Table:
    """All metrics, the first with its interval; the others' intervals are in the JSON and the report."""
    title = "against row 1: difference, 95 % interval (paired bootstrap), * p < 0.05"
    table = Table(title=title, title_justify="left", box=None)
    for name in ("#", *found.rows[0].metrics):
        table.add_column(name, justify="right", no_wrap=True)
    for number, row in enumerate(found.rows[1:], 2):
        first, *others = row.differences.values()
        spread = f"[{first.interval.low:+.3f}, {first.interval.high:+.3f}]"
        table.add_row(str(number), f"{_difference(first)} {spread}", *(_difference(one) for one in others))
    return table


def _stages(found: Evaluation) -> Table:
    table = _table("how it went", ("won", "lost", "fallbacks", "calls", "cost", "p50 ms", "p95 ms"))
    for number, row in enumerate(found.rows, 1):
        spent = cost(row.usage)
        times = ("–", "–") if row.times is None else (f"{row.times.p50:.1f}", f"{row.times.p95:.1f}")
        table.add_row(
            str(number),
            _label(row),
            *(("–", "–") if number == 1 else (str(row.wins), str(row.losses))),
            str(row.statuses.get("fallback", 0)),
            str(row.usage.calls),
            "unknown" if spent is None else f"{spent:.4f}",
            *times,
        )
    return table


def _answers(found: Evaluation) -> Table:
    """The shares of each row's answers, with half the width of their 95 % intervals."""
    columns = (
        "answered",
        "sure",
        "contained",
        "first",
        "wrong",
        "exact",
        "cited well",
        "abstained",
        "doubted",
        "p50 ms",
    )
    table = _table("answers", columns)
    for number, row in enumerate(found.rows, 1):
        if (given := row.answers) is not None:
            shares = (
                _spread(given, name)
                for name in (
                    "answered",
                    "sure",
                    "containment",
                    "first",
                    "wrong",
                    "exactness",
                    "citation_precision",
                )
            )
            refused = (
                f"{_spread(given, name)} of {given.unanswerable}" for name in ("abstention", "doubted")
            )
            times = "–" if given.times is None else f"{given.times.p50:.1f}"
            table.add_row(str(number), _label(row), *shares, *refused, times)
    return table


def _spread(given: AnswerFigures, name: str) -> str:
    share = _share(getattr(given, name))
    found = given.intervals.get(name)
    return share if found is None else f"{share} ±{(found.high - found.low) / 2:.3f}"


def _table(title: str, numbers: Sequence[str]) -> Table:
    table = Table(title=safe(title), title_justify="left", box=None)
    table.add_column("#", justify="right")
    table.add_column("retrieve → rerank", overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _label(row: EvaluationRow) -> Text:
    return safe(f"{row.retrieve} → {row.rerank}")


def _difference(found: Difference) -> str:
    return f"{found.mean:+.4f}{'*' if found.p < _SURE else ' '}"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"


def _reasons(number: int, row: EvaluationRow) -> list[Text]:
    return [safe(f"row {number}: {count} × {reason}", "yellow") for reason, count in row.reasons.items()]


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


def _dev(report: TrainReport) -> Iterator[RenderableType]:
    best, before = report.fitted.best, report.before
    if best is None:
        return
    figures = ", ".join(
        f"{name} {value:.4f}" + (f" (before {before.metrics[name]:.4f})" if before else "")
        for name, value in best.metrics.items()
    )
    yield safe(f"{report.dev_questions} dev questions: {figures}, at step {best.step}")
