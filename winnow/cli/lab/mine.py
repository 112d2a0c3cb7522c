"""`winnow mine`: hard negatives from a collection, a corpus or the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.options import AsJson, Collection, DataDir, settings
from winnow.cli.terminal import note, out, print_json, reported, shortened

Source = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SOURCE]",
        help="A BEIR folder (searched itself, or --collection), or JSON lines of records with positives.",
        show_default=False,
    ),
]
FromLog = Annotated[bool, typer.Option("--log", help="From logged answers whose passages people graded.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The JSONL file of records.")]
Split = Annotated[str | None, typer.Option("--split", help="Read queries.SPLIT.jsonl and qrels.SPLIT.tsv.")]
Negatives = Annotated[int, typer.Option("--negatives", "-n", help="Negatives a question.", min=0)]
RangeMin = Annotated[int, typer.Option("--range-min", help="Leave out so many of the best.", min=0)]
RangeMax = Annotated[int, typer.Option("--range-max", help="Look no further than this.", min=1)]
Margin = Annotated[
    float | None,
    typer.Option("--relative-margin", help="A negative scores this share below the positive.", min=0, max=1),
]
NoMargin = Annotated[bool, typer.Option("--no-margin", help="Whatever the positive scores.")]
MaxScore = Annotated[float | None, typer.Option("--max-score", help="A negative scores this at most.")]
Rescore = Annotated[
    str | None,
    typer.Option(
        "--rerank",
        "-r",
        help="Score positives and candidates with this spec; the scores are kept for distilling.",
        metavar="SPEC",
    ),
]
Sample = Annotated[int | None, typer.Option("--sample", help="Only so many questions.", min=1)]
Seed = Annotated[int, typer.Option("--seed", help="Draws the sample.", min=0)]


def mine(
    out_file: Out,
    source: Source = None,
    log: FromLog = False,
    collection: Collection = None,
    split: Split = None,
    negatives: Negatives = 5,
    range_min: RangeMin = 0,
    range_max: RangeMax = 50,
    relative_margin: Margin = 0.05,
    no_margin: NoMargin = False,
    max_score: MaxScore = None,
    rerank: Rescore = None,
    sample: Sample = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Hard negatives: passages that retrieval ranks high and that do not answer."""
    with reported(as_json):
        from winnow.app.wiring import Wiring
        from winnow.cli.bars import progress_bars
        from winnow.cli.lab import training_rendering
        from winnow.lab.synthesis.plans import MiningPlan
        from winnow.lab.training import mine as mined

        _check(source, log)
        plan = MiningPlan(
            out=out_file,
            source=source,
            collection=collection,
            split=split,
            negatives=negatives,
            range_min=range_min,
            range_max=range_max,
            relative_margin=None if no_margin else relative_margin,
            max_score=max_score,
            rerank=rerank,
            sample=sample,
            seed=seed,
        )
        with Wiring(settings(data_dir, collection)) as wiring, progress_bars() as progress:
            report = mined(plan, wiring, progress)
        if as_json:
            print_json(report.to_json())
            return
        out().print(training_rendering.mining(report))
        for remark in report.notes:
            note(remark)
        note(shortened(str(report.out)))


def _check(source: Path | None, log: bool) -> None:
    from storage.errors import BadInputError

    if (source is None) != log:
        raise BadInputError(
            "name what to mine from, one thing",
            way_out="A BEIR folder, a JSONL file of records, or --log.",
        )
