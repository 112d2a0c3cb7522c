"""`winnow train`: trains a reranker; with --gate, compares it with the current one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from storage.errors import BadInputError
from winnow.cli.command_options import build
from winnow.cli.options import Collection, Options, settings
from winnow.cli.terminal import EXIT_NOT_PROMOTED, note, out, print_json, progress_bars, shortened, warn

if TYPE_CHECKING:
    from winnow.app.settings import Settings
    from winnow.lab.training import GatePlan, GateVerdict, Promotion, TrainPlan, TrainReport


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TrainOptions(Options):
    """The options of `winnow train`."""

    out: Annotated[Path, Option("--out", "-o", help="The folder of the model.")]
    data: Annotated[
        list[Path] | None,
        Argument(
            metavar="[DATA]",
            help="JSON lines of records, or BEIR folders. None: --out is trained already, for --gate.",
            show_default=False,
        ),
    ] = None
    log: Annotated[bool, Option("--log", help="Learn from judged answers of the log as well.")] = False
    base: Annotated[
        str | None,
        Option(
            help="An encoder, a cross-encoder or a language model: hub id or folder (the packaged e5).",
            show_default=False,
        ),
    ] = None
    vocabulary: Annotated[
        int | None,
        Option(help="Pieces that an encoder keeps at most, those of the data first (45,000).", min=100),
    ] = None
    teacher: Annotated[
        str | None,
        Option(
            metavar="SPEC",
            help="A rerank spec, as in `accurate`, whose scores are learned.",
            show_default=False,
        ),
    ] = None
    objective: Annotated[
        Literal["bce", "margin-mse", "listwise", "lambda"] | None,
        Option(
            help="bce: labels; margin-mse, listwise: a teacher's scores; lambda: graded lists (bce; with a"
            " teacher listwise).",
            show_default=False,
        ),
    ] = None
    max_calls: Annotated[int | None, Option(help="The teacher's calls at most.", min=0)] = None
    max_tokens: Annotated[int | None, Option(help="Its tokens at most, both ways.", min=0)] = None
    max_cost: Annotated[float | None, Option(help="Its cost at most; needs llm.prices.", min=0)] = None
    epochs: Annotated[float, Option(help="Times through the data.", min=0.001)] = 1.0
    max_steps: Annotated[int | None, Option(help="Stop after this many steps.", min=1)] = None
    max_minutes: Annotated[float | None, Option(help="Stop after this many minutes.", min=0.01)] = None
    batch: Annotated[int, Option(help="Question-passage pairs at once.", min=1)] = 32
    accumulate: Annotated[int, Option(help="Batches per step of the optimizer.", min=1)] = 1
    learning_rate: Annotated[float, Option(help="The peak, after the warm-up.", min=0)] = 2e-5
    pos_weight: Annotated[
        float | None, Option(help="The weight of a positive under bce (that of its negatives).", min=0.001)
    ] = None
    max_length: Annotated[int | None, Option(help="Tokens of one input (512).", min=16)] = None
    lora: Annotated[int | None, Option(help="Rank of adapters (16 for language models; 0: none).", min=0)] = (
        None
    )
    freeze: Annotated[int, Option(help="Lowest layers that do not learn: faster steps.", min=0)] = 0
    dev: Annotated[list[Path] | None, Option(help="Records or BEIR folders to measure on.")] = None
    watch: Annotated[
        list[Path] | None, Option(help="Others to measure as well; nothing is chosen by them.")
    ] = None
    dev_share: Annotated[
        float, Option(help="Without --dev: this share of the questions.", min=0, max=0.9)
    ] = 0.1
    eval_steps: Annotated[int | None, Option(help="Steps between measurements (an epoch).", min=1)] = None
    patience: Annotated[int, Option(help="Stop after this many measurements without improvement.", min=1)] = 3
    checkpoint_steps: Annotated[int, Option(help="Steps between checkpoints.", min=1)] = 100
    seed: Annotated[int, Option(help="Draws the head, the order and the dev questions.", min=0)] = 0
    licence: Annotated[str, Option(help="The data's, for the model card.")] = ""
    split: Annotated[str | None, Option(help="The split of BEIR folders in DATA.")] = None
    restart: Annotated[bool, Option("--restart", help="Discard an unfinished training.")] = False
    gate: Annotated[
        bool, Option("--gate", help="Compare it with the current reranker; exit code 4 if it loses.")
    ] = False
    held_out: Annotated[
        Path | None, Option(help="A BEIR folder or records that it was not trained on, for --gate.")
    ] = None
    held_out_split: Annotated[str | None, Option(help="The split of the held-out folder.")] = None
    sample: Annotated[int | None, Option(help="The number of held-out questions to draw.", min=1)] = None
    spec: Annotated[
        str | None,
        Option(help="The chain to compare, as in 'late-interaction:20,cross-encoder(model={model})'."),
    ] = None
    promote: Annotated[
        bool, Option("--promote", help="Write the setting into winnow.toml if the gate lets it pass.")
    ] = False
    collection: Collection = None


def train(options: TrainOptions) -> None:
    """Train a cross-encoder; with --gate, compare it with the current reranker."""
    weighed = _gate_plan(options)
    plan = None
    if options.data or options.log or weighed is None:
        plan = _train_plan(options)
    chosen = settings(options.data_dir, options.collection)
    _run(plan, weighed, options.promote, chosen, options.as_json)


def _train_plan(options: TrainOptions) -> TrainPlan:
    from rerank.llm.budget import Budget
    from winnow.lab.training import Hyperparameters, TrainPlan
    from winnow.lab.training.plans import DEFAULT_BASE, VOCABULARY

    limits = (options.max_calls, options.max_tokens, options.max_cost)
    if options.teacher is None and any(limit is not None for limit in limits):
        raise BadInputError("--max-calls, --max-tokens and --max-cost limit a teacher, and there is none")
    objective = options.objective or ("bce" if options.teacher is None else "listwise")
    return build(
        TrainPlan,
        options,
        data=tuple(options.data or ()),
        base=options.base or DEFAULT_BASE,
        vocabulary=options.vocabulary or VOCABULARY,
        budget=build(Budget, options),
        hyperparameters=build(Hyperparameters, options, objective=objective),
        dev=tuple(options.dev or ()),
        watch=tuple(options.watch or ()),
    )


def _gate_plan(options: TrainOptions) -> GatePlan | None:
    from winnow.lab.training import GatePlan
    from winnow.lab.training.gate import ALONE

    if not (options.gate or options.promote):
        return None
    if options.held_out is None:
        raise BadInputError(
            "the gate needs questions that the model was not trained on",
            way_out="Name a BEIR folder or a file of records: --held-out PATH.",
        )
    return build(
        GatePlan, options, model=options.out, spec=options.spec or ALONE, split=options.held_out_split
    )


def _run(
    plan: TrainPlan | None, weighed: GatePlan | None, promote: bool, chosen: Settings, as_json: bool
) -> None:
    from winnow.app.wiring import Wiring
    from winnow.lab.training import gate, train

    verdict: GateVerdict | None = None
    report: TrainReport | None = None
    with Wiring(chosen) as wiring:
        if plan is not None:
            with progress_bars() as progress:
                report = train(plan, wiring, progress, announce=note)
            _tell_report(report, as_json)
        if weighed is not None:
            with progress_bars() as progress:
                verdict = gate(weighed, wiring, progress)
    promotion = _promoted(verdict, promote)
    if as_json:
        print_json(_json(report, verdict, promotion))
    elif verdict is not None:
        _tell_verdict(verdict, promotion)
    if verdict is not None and not verdict.passed:
        raise typer.Exit(EXIT_NOT_PROMOTED)


def _promoted(verdict: GateVerdict | None, wanted: bool) -> Promotion | None:
    from winnow.lab.training import promote

    if verdict is None or not verdict.passed or not wanted:
        return None
    return promote(verdict.new, verdict.current)


def _tell_report(report: TrainReport, as_json: bool) -> None:
    from winnow.cli.lab import rendering

    if as_json:
        return
    out().print(rendering.training(report))
    warn(*rendering.training_remarks(report))
    note(f"{shortened(str(report.out))}; model card: README.md")


def _tell_verdict(verdict: GateVerdict, promotion: Promotion | None) -> None:
    from winnow.cli.lab import rendering
    from winnow.lab.training.promote import setting_line

    out().print(rendering.weighed(verdict))
    note(*verdict.notes)
    if promotion is not None:
        out().print(rendering.promoted(promotion))
        if promotion.overruled:
            warn("the environment sets another rerank.spec, and that one wins")
    elif verdict.passed:
        note(f"to use it, write below [rerank] in winnow.toml (--promote does): {setting_line(verdict.new)}")


def _json(
    report: TrainReport | None, verdict: GateVerdict | None, promotion: Promotion | None
) -> dict[str, Any]:
    from winnow.lab.training.promote import setting_line

    return {
        "training": report,
        "gate": verdict,
        "promoted": promotion is not None,
        "setting": setting_line(verdict.new) if verdict is not None and verdict.passed else None,
        "file": None if promotion is None else str(promotion.file),
        "line": None if promotion is None else promotion.line,
    }
