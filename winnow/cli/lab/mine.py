"""`winnow mine`: hard negatives from a collection, a corpus or the log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from storage.errors import BadInputError
from winnow.cli.command_options import build
from winnow.cli.options import Collection, Options, settings
from winnow.cli.terminal import note, out, print_json, progress_bars, shortened


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MineOptions(Options):
    """The options of `winnow mine`."""

    out: Annotated[Path, Option("--out", "-o", help="The JSONL file of records.")]
    source: Annotated[
        Path | None,
        Argument(
            metavar="[SOURCE]",
            help="A BEIR folder (searched itself, or --collection), or JSON lines of records with positives.",
            show_default=False,
        ),
    ] = None
    log: Annotated[bool, Option("--log", help="From logged answers whose passages people graded.")] = False
    unjudged: Annotated[
        bool,
        Option("--unjudged", help="Other logged answers, too: what --rerank puts first counts as relevant."),
    ] = False
    collection: Collection = None
    split: Annotated[str | None, Option(help="Read queries.SPLIT.jsonl and qrels.SPLIT.tsv.")] = None
    negatives: Annotated[int, Option("--negatives", "-n", help="Negatives per question.", min=0)] = 5
    range_min: Annotated[int, Option(help="The number of best candidates to leave out.", min=0)] = 0
    range_max: Annotated[int, Option(help="The last candidate to consider.", min=1)] = 50
    relative_margin: Annotated[
        float | None, Option(help="A negative scores this share below the positive.", min=0, max=1)
    ] = 0.05
    no_margin: Annotated[bool, Option("--no-margin", help="Ignore the positive's score.")] = False
    max_score: Annotated[float | None, Option(help="The highest score of a negative.")] = None
    rerank: Annotated[
        str | None,
        Option(
            "--rerank",
            "-r",
            help="Score positives and candidates with this spec; the scores are kept for distilling.",
            metavar="SPEC",
        ),
    ] = None
    sample: Annotated[int | None, Option(help="The number of questions to draw.", min=1)] = None
    seed: Annotated[int, Option(help="Draws the sample.", min=0)] = 0


def mine(options: MineOptions) -> None:
    """Find hard negatives: passages that retrieval ranks high and that do not answer."""
    from winnow.app.wiring import Wiring
    from winnow.cli.lab import rendering
    from winnow.lab.synthesis.plans import MiningPlan
    from winnow.lab.training import mine as mined

    _check(options)
    margin = None if options.no_margin else options.relative_margin
    plan = build(MiningPlan, options, relative_margin=margin)
    chosen = settings(options.data_dir, options.collection)
    with Wiring(chosen) as wiring, progress_bars() as progress:
        report = mined(plan, wiring, progress)
    if options.as_json:
        print_json(report)
        return
    out().print(rendering.mining(report))
    note(*report.notes)
    note(shortened(str(report.out)))


def _check(options: MineOptions) -> None:
    if (options.source is None) != options.log:
        raise BadInputError(
            "name what to mine from, one thing",
            way_out="A BEIR folder, a JSONL file of records, or --log.",
        )
