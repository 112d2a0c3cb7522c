"""`winnow synthesize`: a chat model writes training data for rerankers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.cli.options import AsJson, Collection, DataDir, settings
from winnow.cli.terminal import EXIT_FAILURE, note, out, print_json, reported, shortened, warn

if TYPE_CHECKING:
    from rerank.llm.budget import Budget
    from winnow.app.settings import Settings
    from winnow.lab.training import SynthesisPlan

app = typer.Typer(
    help="Training data for rerankers, written by the chat model of the section `llm`. It is asked at once.",
    no_args_is_help=True,
)

Out = Annotated[
    Path, typer.Option("--out", "-o", help="The JSONL file; the journal of paid replies lies beside it.")
]
QuestionsFile = Annotated[
    Path,
    typer.Argument(
        metavar="QUESTIONS",
        help="JSON lines with `text`, or plain text: a question a line.",
        show_default=False,
    ),
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="The chat model (default: llm.model).")]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="Its endpoint (default: llm.base_url).")]
MaxCalls = Annotated[int | None, typer.Option("--max-calls", help="Calls at most.", min=0)]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="Tokens at most, both ways.", min=0)]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", help="Cost at most; needs llm.prices for the model.", min=0)
]
Deadline = Annotated[float | None, typer.Option("--deadline", help="Seconds at most.", min=0)]
InFlight = Annotated[int | None, typer.Option("--in-flight", help="Calls at once (16).", min=1, max=1_000)]
PromptsDir = Annotated[
    Path | None, typer.Option("--prompts", help="A folder of templates that replace winnow's.")
]
Sample = Annotated[int | None, typer.Option("--sample", help="Only so many, drawn by the seed.", min=1)]
Seed = Annotated[int, typer.Option("--seed", help="Draws the sample, shuffles what is graded.", min=0)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say how many calls, and about how much; ask nothing.")
]
Negatives = Annotated[int, typer.Option("--negatives", "-n", help="Negatives a question.", min=1, max=50)]
CheckBy = Annotated[
    str,
    typer.Option(
        "--check",
        help="Against false negatives: `llm` grades them, `none`, or a rerank spec that scores.",
        metavar="HOW",
    ),
]
Margin = Annotated[
    float,
    typer.Option(
        "--margin", help="By a spec: a negative scores this share below the positive.", min=0, max=1
    ),
]


@app.command()
def queries(
    out_file: Out,
    collection: Collection = None,
    per_passage: Annotated[
        int, typer.Option("--per-passage", help="Questions a passage.", min=1, max=10)
    ] = 2,
    negatives: Negatives = 4,
    round_trip: Annotated[
        int, typer.Option("--round-trip", help="Retrieval must find its passage among so many.", min=1)
    ] = 10,
    min_letters: Annotated[
        int, typer.Option("--min-letters", help="Shorter passages are not asked about.", min=1)
    ] = 80,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", help="Your own few shots: JSON lines with `query` and `positive`."),
    ] = None,
    check: CheckBy = "llm",
    margin: Margin = 0.05,
    sample: Sample = None,
    seed: Seed = 0,
    model: Model = None,
    base_url: BaseUrl = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    deadline: Deadline = None,
    in_flight: InFlight = None,
    prompts: PromptsDir = None,
    dry_run: DryRun = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Questions for the passages of a collection: few-shot, kept where retrieval finds the passage again."""
    with reported(as_json):
        from rerank.training.records import read_records
        from winnow.lab.synthesis.plans import Checks, QueryPlan

        plan = QueryPlan(
            out=out_file,
            collection=collection,
            per_passage=per_passage,
            negatives=negatives,
            min_letters=min_letters,
            examples=tuple(read_records(examples)) if examples else (),
            checks=Checks(check, margin, round_trip),
            sample=sample,
            seed=seed,
            budget=_budget(max_calls, max_tokens, max_cost, deadline),
        )
        _run(plan, _settings(data_dir, collection, model, base_url, in_flight, prompts), dry_run, as_json)


@app.command()
def passages(
    questions: QuestionsFile,
    out_file: Out,
    negatives: Negatives = 4,
    check: CheckBy = "llm",
    margin: Margin = 0.05,
    sample: Sample = None,
    seed: Seed = 0,
    model: Model = None,
    base_url: BaseUrl = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    deadline: Deadline = None,
    in_flight: InFlight = None,
    prompts: PromptsDir = None,
    dry_run: DryRun = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """For given questions a passage that answers, and others that look relevant and do not answer."""
    with reported(as_json):
        from winnow.lab.synthesis.plans import Checks, PassagePlan

        plan = PassagePlan(
            questions=questions,
            out=out_file,
            negatives=negatives,
            checks=Checks(check, margin),
            sample=sample,
            seed=seed,
            budget=_budget(max_calls, max_tokens, max_cost, deadline),
        )
        _run(plan, _settings(data_dir, None, model, base_url, in_flight, prompts), dry_run, as_json)


@app.command()
def labels(
    questions: QuestionsFile,
    out_file: Out,
    collection: Collection = None,
    depth: Annotated[int, typer.Option("--depth", help="Passages to retrieve a question.", min=1)] = 20,
    window: Annotated[int, typer.Option("--window", help="Passages to grade a call.", min=1, max=50)] = 10,
    sample: Sample = None,
    seed: Seed = 0,
    model: Model = None,
    base_url: BaseUrl = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    deadline: Deadline = None,
    in_flight: InFlight = None,
    prompts: PromptsDir = None,
    dry_run: DryRun = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Grades from 0 to 3 for the passages that a collection's retrieval finds for given questions."""
    with reported(as_json):
        from winnow.lab.synthesis.plans import LabelPlan

        plan = LabelPlan(
            questions=questions,
            out=out_file,
            collection=collection,
            depth=depth,
            window=window,
            sample=sample,
            seed=seed,
            budget=_budget(max_calls, max_tokens, max_cost, deadline),
        )
        _run(plan, _settings(data_dir, collection, model, base_url, in_flight, prompts), dry_run, as_json)


def _budget(calls: int | None, tokens: int | None, cost: float | None, seconds: float | None) -> Budget:
    from rerank.llm.budget import Budget

    return Budget(calls, tokens, cost, None if seconds is None else seconds * 1000)


def _settings(
    data_dir: Path | None,
    collection: str | None,
    model: str | None,
    base_url: str | None,
    in_flight: int | None,
    prompts: Path | None,
) -> Settings:
    llm: dict[str, Any] = {"model": model, "base_url": base_url}
    rerank: dict[str, Any] = {"in_flight": in_flight, "prompts": prompts}
    return settings(data_dir, collection, llm=llm, rerank=rerank)


def _run(plan: SynthesisPlan, chosen: Settings, dry_run: bool, as_json: bool) -> None:
    from winnow.app.wiring import Wiring
    from winnow.cli.bars import progress_bars
    from winnow.cli.lab import training_rendering
    from winnow.lab.training import estimate, synthesize

    with Wiring(chosen) as wiring, progress_bars() as progress:
        if dry_run:
            estimated = estimate(plan, wiring, progress)
        else:
            report = synthesize(plan, wiring, progress, announce=note)
    if dry_run:
        if as_json:
            print_json(estimated.to_json())
        else:
            out().print(training_rendering.estimate(estimated))
        return
    if as_json:
        print_json(report.to_json())
    else:
        out().print(training_rendering.synthesis(report))
        for remark in training_rendering.remarks(report):
            warn(remark)
        note(f"{shortened(str(report.out))}; journal of paid replies: {shortened(str(plan.journal))}")
    if report.failed:
        raise typer.Exit(EXIT_FAILURE)
