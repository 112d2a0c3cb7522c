"""`winnow evaluate`: retrieval, reranking and answers, measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.bars import progress_bars
from winnow.cli.options import AsJson, Collection, DataDir, TopKRetrieve, settings
from winnow.cli.terminal import note, out, print_json, reported

if TYPE_CHECKING:
    from winnow.app.settings import Settings
    from winnow.app.wiring import Wiring
    from winnow.lab.evaluation import Dataset, Run

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR]",
        help="corpus.jsonl, queries.jsonl, qrels.tsv (BEIR's layout; .gz too).",
        show_default=False,
    ),
]
Split = Annotated[str | None, typer.Option("--split", help="Read queries.SPLIT.jsonl and qrels.SPLIT.tsv.")]
QrelsFile = Annotated[Path | None, typer.Option("--qrels", help="Judgements: a TREC or TSV file.")]
QueriesFile = Annotated[Path | None, typer.Option("--queries", help="Questions: a JSONL file.")]
Retrieve = Annotated[
    list[str] | None, typer.Option("--retrieve", help="dense, lexical or hybrid. Repeatable.", metavar="MODE")
]
RunFiles = Annotated[
    list[Path] | None,
    typer.Option("--run", help="Candidates from a TREC run instead. Repeatable.", metavar="FILE"),
]
Specs = Annotated[
    list[str] | None,
    typer.Option(
        "--rerank", "-r", help="A rerank spec, or `none` (the default). Repeatable.", metavar="SPEC"
    ),
]
Sample = Annotated[int | None, typer.Option("--sample", help="Ask only so many questions.", min=1)]
Seed = Annotated[int, typer.Option("--seed", help="Draws the sample and the bootstrap.", min=0)]
Report = Annotated[Path | None, typer.Option("--report", help="Write an HTML report to this file.")]
Answers = Annotated[
    bool, typer.Option("--answers", help="Answer from the best passages too, and measure that.")
]
AnswererOption = Annotated[
    str | None, typer.Option("--answerer", help="extractive or openai, for --answers.", metavar="NAME")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Measure again what was measured before (embeddings stay).")
]


def evaluate(
    folder: Folder = None,
    split: Split = None,
    queries: QueriesFile = None,
    qrels: QrelsFile = None,
    collection: Collection = None,
    retrieve: Retrieve = None,
    run: RunFiles = None,
    rerank: Specs = None,
    sample: Sample = None,
    seed: Seed = 0,
    top_k_retrieve: TopKRetrieve = None,
    answers: Answers = False,
    answerer: AnswererOption = None,
    report: Report = None,
    fresh: Fresh = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure retrieval and reranking on a set of questions with judgements."""
    with reported(as_json):
        from winnow.lab.evaluation import Plan
        from winnow.lab.evaluation import evaluate as measure
        from winnow.lab.reports.page import check_file

        chosen = settings(data_dir, collection)
        _check_answerer(answerer, answers)
        if report is not None:
            check_file(report)
        plan = Plan(
            dataset=_dataset(folder, split, queries, qrels, collection, sample, seed),
            retrieve=_retrieve(retrieve, run, chosen),
            runs=_runs(run),
            rerank=rerank or ["none"],
            collection=collection,
            top_k=top_k_retrieve,
            seed=seed,
            fresh=fresh,
            answers=answers,
            answerer=answerer,
        )
        with _wired(chosen) as wiring, progress_bars() as progress:
            found = measure(plan, wiring, progress)
        if report is not None:
            from winnow.lab.reports.evaluation import write_report

            write_report(found, report)
        if as_json:
            print_json(found.to_json())
            return
        from winnow.cli.lab.evaluation_rendering import evaluation

        out().print(evaluation(found))
        for remark in found.notes:
            note(remark)
        if report is not None:
            note(f"report: {report}")


def _dataset(
    folder: Path | None,
    split: str | None,
    queries: Path | None,
    qrels: Path | None,
    collection: str | None,
    sample: int | None,
    seed: int,
) -> Dataset:
    from winnow.lab.evaluation import load_dataset

    loaded = load_dataset(folder, split=split, queries=queries, qrels=qrels, with_corpus=collection is None)
    return loaded if sample is None else loaded.sampled(sample, seed)


def _retrieve(modes: Sequence[str] | None, runs: Sequence[Path] | None, chosen: Settings) -> list[str]:
    if modes or runs:
        return list(modes or ())
    return [chosen.retrieval.mode]


def _runs(files: Sequence[Path] | None) -> list[tuple[str, Run]]:
    from winnow.lab.evaluation import read_run

    return [(str(file), read_run(file)) for file in files or ()]


def _check_answerer(answerer: str | None, answers: bool) -> None:
    from storage.errors import BadInputError

    if answerer is not None and not answers:
        raise BadInputError("--answerer says who answers, and nothing is answered", way_out="Add --answers.")


@contextmanager
def _wired(chosen: Settings) -> Iterator[Wiring]:
    from winnow.app.wiring import Wiring

    wiring = Wiring(chosen)
    try:
        yield wiring
    finally:
        wiring.close()
