"""`winnow synthesize`: a chat model writes training data for rerankers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from winnow.cli.command_options import CommandGroup, build
from winnow.cli.options import Collection, Options, settings
from winnow.cli.terminal import EXIT_FAILURE, note, out, print_json, progress_bars, shortened, warn

if TYPE_CHECKING:
    from rerank.llm.budget import Budget
    from winnow.lab.training import SynthesisPlan

app = CommandGroup(
    help="Training data for rerankers, written by the chat model of the section `llm`, which costs money.",
    no_args_is_help=True,
)

Out = Annotated[
    Path, Option("--out", "-o", help="The JSONL file; the journal of paid replies is next to it.")
]
Negatives = Annotated[int, Option("--negatives", "-n", help="Negatives per question.", min=1, max=50)]
QuestionsFile = Annotated[
    Path,
    Argument(
        metavar="QUESTIONS",
        help="JSON lines with `text`, or plain text: a question per line.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """Options of the check for false negatives."""

    check: Annotated[
        str,
        Option(
            help="Against false negatives: `llm` grades them, `none`, or a rerank spec that scores.",
            metavar="HOW",
        ),
    ] = "llm"
    margin: Annotated[
        float, Option(help="By a spec: a negative scores this share below the positive.", min=0, max=1)
    ] = 0.05


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunOptions(Options):
    """The options that all three commands end with: sample, model, limits, output."""

    sample: Annotated[int | None, Option(help="The number of passages or questions to draw.", min=1)] = None
    seed: Annotated[int, Option(help="Draws the sample, shuffles what is graded.", min=0)] = 0
    model: Annotated[str | None, Option("--model", "-m", help="The chat model (default: llm.model).")] = None
    base_url: Annotated[str | None, Option(help="Its endpoint (default: llm.base_url).")] = None
    max_calls: Annotated[int | None, Option(help="Calls at most.", min=0)] = None
    max_tokens: Annotated[int | None, Option(help="Tokens at most, both ways.", min=0)] = None
    max_cost: Annotated[float | None, Option(help="Cost at most; needs llm.prices for the model.", min=0)] = (
        None
    )
    deadline: Annotated[float | None, Option(help="Seconds at most.", min=0)] = None
    in_flight: Annotated[int | None, Option(help="Calls at once (16).", min=1, max=1_000)] = None
    prompts: Annotated[Path | None, Option(help="A folder of templates that replace winnow's.")] = None
    dry_run: Annotated[bool, Option("--dry-run", help="Estimate calls and cost; ask nothing.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueriesOptions:
    """The options of `winnow synthesize queries`."""

    out: Out
    collection: Collection = None
    per_passage: Annotated[int, Option(help="Questions per passage.", min=1, max=10)] = 2
    negatives: Negatives = 4
    round_trip: Annotated[int, Option(help="Retrieval must find its passage among this many.", min=1)] = 10
    min_letters: Annotated[int, Option(help="Shorter passages are skipped.", min=1)] = 80
    examples: Annotated[
        Path | None, Option(help="Your own few shots: JSON lines with `query` and `positive`.")
    ] = None
    checks: CheckOptions
    run: RunOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagesOptions:
    """The options of `winnow synthesize passages`."""

    questions: QuestionsFile
    out: Out
    negatives: Negatives = 4
    checks: CheckOptions
    run: RunOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsOptions:
    """The options of `winnow synthesize labels`."""

    questions: QuestionsFile
    out: Out
    collection: Collection = None
    depth: Annotated[int, Option(help="Passages to retrieve per question.", min=1)] = 20
    window: Annotated[int, Option(help="Passages to grade per call.", min=1, max=50)] = 10
    run: RunOptions


@app.command()
def queries(options: QueriesOptions) -> None:
    """Questions for the passages of a collection: few-shot, kept where retrieval finds the passage again."""
    from rerank.training.records import read_records
    from winnow.lab.synthesis.plans import Checks, QueryPlan

    checks = Checks(options.checks.check, options.checks.margin, options.round_trip)
    examples = tuple(read_records(options.examples)) if options.examples else ()
    _run(
        build(QueryPlan, options, checks=checks, examples=examples, budget=_budget(options.run)),
        options.run,
    )


@app.command()
def passages(options: PassagesOptions) -> None:
    """For given questions, a passage that answers and others that only look relevant."""
    from winnow.lab.synthesis.plans import Checks, PassagePlan

    checks = Checks(options.checks.check, options.checks.margin)
    _run(build(PassagePlan, options, checks=checks, budget=_budget(options.run)), options.run)


@app.command()
def labels(options: LabelsOptions) -> None:
    """Grades from 0 to 3 for the passages that a collection's retrieval finds for given questions."""
    from winnow.lab.synthesis.plans import LabelPlan

    _run(build(LabelPlan, options, budget=_budget(options.run)), options.run)


def _budget(options: RunOptions) -> Budget:
    from rerank.llm.budget import Budget

    seconds = options.deadline
    return build(Budget, options, deadline_ms=None if seconds is None else seconds * 1000)


def _run(plan: SynthesisPlan, options: RunOptions) -> None:
    from winnow.app.wiring import Wiring
    from winnow.cli.lab import rendering
    from winnow.lab.training import estimate, synthesize

    llm: dict[str, Any] = {"model": options.model, "base_url": options.base_url}
    rerank: dict[str, Any] = {"in_flight": options.in_flight, "prompts": options.prompts}
    chosen = settings(options.data_dir, plan.collection, llm=llm, rerank=rerank)
    with Wiring(chosen) as wiring, progress_bars() as progress:
        if options.dry_run:
            estimated = estimate(plan, wiring, progress)
        else:
            report = synthesize(plan, wiring, progress, announce=note)
    if options.dry_run:
        if options.as_json:
            print_json(estimated)
        else:
            out().print(rendering.estimate(estimated))
        return
    if options.as_json:
        print_json(report)
    else:
        out().print(rendering.synthesis(report))
        warn(*rendering.synthesis_remarks(report))
        note(f"{shortened(str(report.out))}; journal of paid replies: {shortened(str(plan.journal))}")
    if report.failed:
        raise typer.Exit(EXIT_FAILURE)
