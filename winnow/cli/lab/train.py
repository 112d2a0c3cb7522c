"""`winnow train`: a reranker of one's own, and whether it may take the current one's place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from winnow.cli.options import AsJson, Collection, DataDir, settings
from winnow.cli.terminal import (
    EXIT_NOT_PROMOTED,
    note,
    out,
    print_json,
    reported,
    shortened,
    warn,
)

if TYPE_CHECKING:
    from winnow.app.settings import Settings
    from winnow.lab.training import GatePlan, Promotion, TrainPlan, TrainReport, Verdict

Data = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[DATA]",
        help="JSON lines of records, or BEIR folders. None: --out is trained already, and --gate weighs it.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder of the model.")]
FromLog = Annotated[bool, typer.Option("--log", help="Learn from judged answers of the log as well.")]
BaseModel = Annotated[
    str | None,
    typer.Option(
        "--base",
        help="An encoder, a cross-encoder or a language model: hub id or folder (the packaged MiniLM).",
        show_default=False,
    ),
]
Objective = Annotated[
    Literal["bce", "margin-mse", "lambda"],
    typer.Option("--objective", help="bce: labels; margin-mse: a teacher's scores; lambda: whole lists."),
]
Epochs = Annotated[float, typer.Option("--epochs", help="Times through the data.", min=0.001)]
MaxSteps = Annotated[int | None, typer.Option("--max-steps", help="Stop after so many steps.", min=1)]
MaxMinutes = Annotated[
    float | None, typer.Option("--max-minutes", help="Stop after so many minutes.", min=0.01)
]
Batch = Annotated[int, typer.Option("--batch", help="Question-passage pairs at once.", min=1)]
Accumulate = Annotated[int, typer.Option("--accumulate", help="So many batches make a step.", min=1)]
Rate = Annotated[float, typer.Option("--learning-rate", help="At its highest.", min=0)]
PosWeight = Annotated[
    float | None,
    typer.Option("--pos-weight", help="What a positive weighs under bce (its negatives).", min=0.001),
]
Length = Annotated[int | None, typer.Option("--max-length", help="Tokens of one input (512).", min=16)]
Lora = Annotated[
    int | None, typer.Option("--lora", help="Rank of adapters (16 for language models; 0: none).", min=0)
]
Freeze = Annotated[
    int, typer.Option("--freeze", help="So many of the lowest layers do not learn: faster steps.", min=0)
]
Dev = Annotated[
    list[Path] | None, typer.Option("--dev", help="Records or BEIR folders to measure on meanwhile.")
]
DevShare = Annotated[
    float, typer.Option("--dev-share", help="Without --dev: this share of the questions.", min=0, max=0.9)
]
EvalSteps = Annotated[
    int | None, typer.Option("--eval-steps", help="Measure every so many steps (each epoch).", min=1)
]
Patience = Annotated[
    int, typer.Option("--patience", help="Stop after so many measurements without a better one.", min=1)
]
Checkpoint = Annotated[int, typer.Option("--checkpoint-steps", help="What a kill costs at most.", min=1)]
Seed = Annotated[int, typer.Option("--seed", help="Draws the head, the order and the dev questions.", min=0)]
Licence = Annotated[str, typer.Option("--licence", help="The data's, for the model card.")]
Split = Annotated[str | None, typer.Option("--split", help="Of BEIR folders that are learned from.")]
Restart = Annotated[bool, typer.Option("--restart", help="Throw an unfinished training away.")]
Gate = Annotated[
    bool, typer.Option("--gate", help="Weigh it against the current reranker; exit code 4 if it loses.")
]
HeldOut = Annotated[
    Path | None, typer.Option("--held-out", help="A BEIR folder or records that it has not seen, for --gate.")
]
HeldOutSplit = Annotated[str | None, typer.Option("--held-out-split", help="Of the held-out folder.")]
Sample = Annotated[int | None, typer.Option("--sample", help="Only so many held-out questions.", min=1)]
Spec = Annotated[
    str | None,
    typer.Option("--spec", help="What is weighed, as in 'late-interaction:20,cross-encoder(model={model})'."),
]
Promote = Annotated[
    bool, typer.Option("--promote", help="Write the setting into winnow.toml if the gate lets it pass.")
]


def train(
    out_folder: Out,
    data: Data = None,
    log: FromLog = False,
    base: BaseModel = None,
    objective: Objective = "bce",
    epochs: Epochs = 1.0,
    max_steps: MaxSteps = None,
    max_minutes: MaxMinutes = None,
    batch: Batch = 32,
    accumulate: Accumulate = 1,
    learning_rate: Rate = 2e-5,
    pos_weight: PosWeight = None,
    max_length: Length = None,
    lora: Lora = None,
    freeze: Freeze = 0,
    dev: Dev = None,
    dev_share: DevShare = 0.1,
    eval_steps: EvalSteps = None,
    patience: Patience = 3,
    checkpoint_steps: Checkpoint = 100,
    seed: Seed = 0,
    licence: Licence = "",
    split: Split = None,
    restart: Restart = False,
    gate: Gate = False,
    held_out: HeldOut = None,
    held_out_split: HeldOutSplit = None,
    sample: Sample = None,
    spec: Spec = None,
    promote: Promote = False,
    collection: Collection = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train a cross-encoder. With --gate, see whether it may take the current reranker's place."""
    with reported(as_json):
        from winnow.lab.training import Course, TrainPlan
        from winnow.lab.training.plans import DEFAULT_BASE

        weighed = _gate_plan(
            gate or promote, out_folder, held_out, held_out_split, spec, collection, sample, seed
        )
        plan = None
        if data or log or weighed is None:
            plan = TrainPlan(
                out=out_folder,
                data=tuple(data or ()),
                log=log,
                collection=collection,
                split=split,
                base=base or DEFAULT_BASE,
                course=Course(
                    objective=objective,
                    epochs=epochs,
                    max_steps=max_steps,
                    max_minutes=max_minutes,
                    batch=batch,
                    accumulate=accumulate,
                    learning_rate=learning_rate,
                    pos_weight=pos_weight,
                    eval_steps=eval_steps,
                    patience=patience,
                    checkpoint_steps=checkpoint_steps,
                    seed=seed,
                ),
                dev=tuple(dev or ()),
                dev_share=dev_share,
                max_length=max_length,
                lora=lora,
                freeze=freeze,
                licence=licence,
                restart=restart,
            )
        _run(plan, weighed, promote, settings(data_dir, collection), as_json)


def _gate_plan(
    wanted: bool,
    model: Path,
    held_out: Path | None,
    split: str | None,
    spec: str | None,
    collection: str | None,
    sample: int | None,
    seed: int,
) -> GatePlan | None:
    from storage.errors import BadInputError
    from winnow.lab.training import GatePlan
    from winnow.lab.training.gate import ALONE

    if not wanted:
        return None
    if held_out is None:
        raise BadInputError(
            "the gate needs questions that the model has not learned from",
            way_out="Name a BEIR folder or a file of records: --held-out PATH.",
        )
    return GatePlan(
        model=model,
        held_out=held_out,
        spec=spec or ALONE,
        collection=collection,
        split=split,
        sample=sample,
        seed=seed,
    )


def _run(
    plan: TrainPlan | None, weighed: GatePlan | None, promote: bool, chosen: Settings, as_json: bool
) -> None:
    from winnow.app.wiring import Wiring
    from winnow.cli.bars import progress_bars
    from winnow.lab.training import gate, train

    verdict: Verdict | None = None
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


def _promoted(verdict: Verdict | None, wanted: bool) -> Promotion | None:
    from winnow.lab.training import promote

    if verdict is None or not verdict.passed or not wanted:
        return None
    return promote(verdict.new, verdict.current)


def _tell_report(report: TrainReport, as_json: bool) -> None:
    from winnow.cli.lab import train_rendering

    if as_json:
        return
    out().print(train_rendering.training(report))
    for remark in train_rendering.remarks(report):
        warn(remark)
    note(f"{shortened(str(report.out))}; model card: README.md")


def _tell_verdict(verdict: Verdict, promotion: Promotion | None) -> None:
    from winnow.cli.lab import train_rendering
    from winnow.lab.training.promote import setting_line

    out().print(train_rendering.weighed(verdict))
    for remark in verdict.notes:
        note(remark)
    if promotion is not None:
        out().print(train_rendering.promoted(promotion))
        if promotion.overruled:
            warn("the environment sets another rerank.spec, and that one wins")
    elif verdict.passed:
        note(f"to use it, write below [rerank] in winnow.toml (--promote does): {setting_line(verdict.new)}")


def _json(report: TrainReport | None, verdict: Verdict | None, promotion: Promotion | None) -> dict[str, Any]:
    from winnow.lab.training.promote import setting_line

    return {
        "training": None if report is None else report.to_json(),
        "gate": None if verdict is None else verdict.to_json(),
        "promoted": promotion is not None,
        "setting": setting_line(verdict.new) if verdict is not None and verdict.passed else None,
        "file": None if promotion is None else str(promotion.file),
        "line": None if promotion is None else promotion.line,
    }
