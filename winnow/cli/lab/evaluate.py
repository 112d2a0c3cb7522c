"""`winnow evaluate`: retrieval, reranking and answers, measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from storage.errors import BadInputError
from winnow.cli.command_options import build
from winnow.cli.options import Collection, Options, TopKRetrieve, settings
from winnow.cli.terminal import note, out, print_json, progress_bars

if TYPE_CHECKING:
    from winnow.app.settings import Settings
    from winnow.lab.evaluation import Dataset, Plan


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EvaluateOptions(Options):
    """The options of `winnow evaluate`."""

    folder: Annotated[
        Path | None,
        Argument(
            metavar="[DIR]",
            help="corpus.jsonl, queries.jsonl, qrels.tsv (BEIR's layout; .gz too).",
            show_default=False,
        ),
    ] = None
    split: Annotated[str | None, Option(help="Read queries.SPLIT.jsonl and qrels.SPLIT.tsv.")] = None
    queries: Annotated[Path | None, Option(help="Questions: a JSONL file.")] = None
    qrels: Annotated[Path | None, Option(help="Judgements: a TREC or TSV file.")] = None
    collection: Collection = None
    retrieve: Annotated[
        list[str] | None, Option(help="dense, lexical or hybrid. Repeatable.", metavar="MODE")
    ] = None
    run: Annotated[
        list[Path] | None, Option(help="Candidates from a TREC run instead. Repeatable.", metavar="FILE")
    ] = None
    rerank: Annotated[
        list[str] | None,
        Option("--rerank", "-r", help="A rerank spec, or `none` (the default). Repeatable.", metavar="SPEC"),
    ] = None
    sample: Annotated[int | None, Option(help="The number of questions to draw.", min=1)] = None
    seed: Annotated[int, Option(help="Draws the sample and the bootstrap.", min=0)] = 0
    top_k_retrieve: TopKRetrieve = None
    answers: Annotated[
        bool, Option("--answers", help="Answer from the best passages too, and measure that.")
    ] = False
    answerer: Annotated[str | None, Option(help="extractive or openai, for --answers.", metavar="NAME")] = (
        None
    )
    report: Annotated[Path | None, Option(help="Write an HTML report to this file.")] = None
    fresh: Annotated[bool, Option("--fresh", help="Ignore cached results (embeddings stay).")] = False


def evaluate(options: EvaluateOptions) -> None:
    """Measure retrieval and reranking on a set of questions with judgements."""
    from winnow.app.wiring import Wiring
    from winnow.lab.evaluation import evaluate as measure
    from winnow.lab.reports.evaluation import html
    from winnow.lab.reports.page import check_file, write

    chosen = settings(options.data_dir, options.collection)
    _check_answerer(options)
    if options.report is not None:
        check_file(options.report)
    plan = _plan(options, chosen)
    with Wiring(chosen) as wiring, progress_bars() as progress:
        found = measure(plan, wiring, progress)
    if options.report is not None:
        write(html(found), options.report)
    if options.as_json:
        print_json(found)
        return
    from winnow.cli.lab.rendering import evaluation

    out().print(evaluation(found))
    note(*found.notes)
    if options.report is not None:
        note(f"report: {options.report}")


def _plan(options: EvaluateOptions, chosen: Settings) -> Plan:
    from winnow.lab.evaluation import Plan, read_run

    modes = options.retrieve or ([] if options.run else [chosen.retrieval.mode])
    return build(
        Plan,
        options,
        dataset=_dataset(options),
        retrieve=modes,
        runs=[(str(file), read_run(file)) for file in options.run or ()],
        rerank=options.rerank or ["none"],
        top_k=options.top_k_retrieve,
    )


def _dataset(options: EvaluateOptions) -> Dataset:
    from winnow.lab.evaluation import load_dataset

    loaded = load_dataset(
        options.folder,
        split=options.split,
        queries=options.queries,
        qrels=options.qrels,
        with_corpus=options.collection is None,
    )
    return loaded if options.sample is None else loaded.sampled(options.sample, options.seed)


def _check_answerer(options: EvaluateOptions) -> None:
    if options.answerer is not None and not options.answers:
        raise BadInputError("--answerer has no effect without --answers", way_out="Add --answers.")
