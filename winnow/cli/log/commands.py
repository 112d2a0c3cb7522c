"""`winnow log`: what was asked, what was answered, and why; replayed, judged, exported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from winnow.cli.log.options import (
    AnswererName,
    Cost,
    FeedbackIs,
    InCollection,
    Since,
    Slow,
    StatusIs,
    Strategy,
    Text,
    Until,
    answer_filter,
    opened,
)
from winnow.cli.log.upkeep import backup, off, on, prune, redact, vacuum
from winnow.cli.options import AsJson, DataDir, Rerank
from winnow.cli.terminal import EXIT_FAILURE, note, out, print_json, reported, warn

app = typer.Typer(help="Look at logged answers, replay, compare and judge them.", no_args_is_help=True)

Limit = Annotated[int, typer.Option("--limit", "-n", help="How many, newest first.", min=1)]
AnswerId = Annotated[
    str, typer.Argument(metavar="ID", help="An answer's id, or its beginning.", show_default=False)
]
Specs = Annotated[list[str], typer.Option("--rerank", "-r", help="A rerank spec to compare; repeatable.")]


@app.command("list")
def list_(
    limit: Limit = 20,
    text: Text = "",
    collection: InCollection = None,
    strategy: Strategy = None,
    status: StatusIs = None,
    feedback: FeedbackIs = None,
    since: Since = None,
    until: Until = None,
    slow: Slow = None,
    costly: Cost = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """The newest answers that are meant."""
    with reported(as_json):
        from winnow.app import jsonable
        from winnow.cli.log import rendering as log_rendering

        where = answer_filter(text, collection, strategy, status, feedback, since, until, slow, costly)
        with opened(data_dir) as pipeline:
            summaries = pipeline.log.list(limit, where)
        if as_json:
            print_json([jsonable.summary(summary) for summary in summaries])
        elif summaries:
            out().print(log_rendering.summaries(summaries))
        else:
            note("No answer matches.")


@app.command()
def show(
    answer_id: AnswerId,
    prompt: Annotated[bool, typer.Option("--prompt", help="The prompt too.")] = False,
    collection: InCollection = None,
    calls: Annotated[
        bool, typer.Option("--calls", help="Every exchange with a model (log.llm_calls).")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """One answer: who rose and who fell from retrieval to the answer, where the time went, every rank."""
    with reported(as_json):
        from storage.errors import NotFoundError
        from winnow.app import jsonable
        from winnow.cli import rendering
        from winnow.cli.log import rendering as log_rendering

        with opened(data_dir) as pipeline:
            answer = pipeline.log.get(answer_id)
        if collection is not None and answer.collection != collection:
            raise NotFoundError(
                f"answer {answer.id} is of the collection {answer.collection!r}, not {collection!r}"
            )
        if as_json:
            print_json(jsonable.answer(answer, exchanges=calls))
            return
        out().print(rendering.logged_answer(answer))
        if prompt:
            out().print(log_rendering.prompt(answer))
        if calls:
            out().print(log_rendering.exchanges(answer))
        for warning in answer.warnings:
            warn(warning)


@app.command()
def replay(
    answer_id: AnswerId,
    rerank: Rerank = None,
    answerer: AnswererName = None,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", help="Passages to keep.", min=1)] = None,
    save: Annotated[
        bool, typer.Option("--save/--no-save", help="Log the replay, linked to its original.")
    ] = True,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a logged answer's own candidates through another chain: old and new side by side, no store."""
    with reported(as_json):
        from winnow.app import jsonable
        from winnow.cli.log import rendering as log_rendering

        with opened(data_dir) as pipeline:
            done = pipeline.log.replay(answer_id, rerank, answerer=answerer, top_k=top_k, save=save)
        if as_json:
            print_json(jsonable.replay(done))
        else:
            out().print(log_rendering.replay(done))
            for warning in done.answer.warnings:
                warn(warning)


@app.command()
def compare(
    specs: Specs,
    last: Annotated[int, typer.Option("--last", help="The newest so many answers.", min=1)] = 100,
    text: Text = "",
    collection: InCollection = None,
    feedback: FeedbackIs = None,
    since: Since = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots, too.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Rerank specs over many logged answers: agreement, cost, latency, quality where passages were judged."""
    with reported(as_json):
        from winnow.app import jsonable
        from winnow.cli.bars import progress_bars
        from winnow.cli.log import rendering as log_rendering

        where = answer_filter(text, collection, None, None, feedback, since, None, None, None)
        if html is not None:
            from winnow.lab.reports.page import check_file

            check_file(html)
        with opened(data_dir) as pipeline, progress_bars() as progress:
            rows = pipeline.log.compare(specs, where, last=last, progress=progress)
        if html is not None:
            from winnow.lab.reports.comparison import write_report

            write_report(rows, html)
        if as_json:
            print_json({"results": [jsonable.spec_row(row) for row in rows]})
        else:
            out().print(log_rendering.comparison(rows))
            if html is not None:
                note(f"written to {html}")


@app.command()
def regress(
    floor: Annotated[float, typer.Option("--min-ndcg", help="Fail below this nDCG@5.", min=0, max=1)],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Replay all judged answers under the current settings; exit code 1 below the floor."""
    with reported(as_json):
        from winnow.app import jsonable
        from winnow.cli.bars import progress_bars
        from winnow.cli.log import rendering as log_rendering

        with opened(data_dir) as pipeline, progress_bars() as progress:
            row = pipeline.log.regress(progress=progress)
        passed = row.ndcg is not None and row.ndcg >= floor
        if as_json:
            print_json({**jsonable.spec_row(row), "min_ndcg": floor, "passed": passed})
        else:
            out().print(log_rendering.comparison([row]))
            note(f"nDCG@5 {row.ndcg:.3f} over {row.judged} judged answers, the floor is {floor:g}")
        if not passed:
            raise typer.Exit(EXIT_FAILURE)


@app.command()
def feedback(
    answer_id: AnswerId,
    good: Annotated[bool | None, typer.Option("--good/--bad", help="What you think of the answer.")] = None,
    passage: Annotated[
        list[str] | None,
        typer.Option("--passage", metavar="N=GRADE", help="Grade passage N: 0 (no use) to 3 (answers it)."),
    ] = None,
    remark: Annotated[str, typer.Option("--note", help="Why.")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Judge an answer and its passages. Judged answers become qrels and training pairs."""
    with reported(as_json):
        from dataclasses import asdict

        from winnow.cli.log.options import grades

        with opened(data_dir) as pipeline:
            kept = pipeline.log.feedback(answer_id, good=good, note=remark, grades=grades(passage or []))
        if as_json:
            print_json({**asdict(kept), "notes": list(kept.notes)})
        else:
            note(f"noted; {len(kept.grades)} passages of this answer are judged")


@app.command()
def stats(since: Since = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """For each rerank spec: answers, times, cost, fallbacks, feedback."""
    with reported(as_json):
        from dataclasses import asdict

        from winnow.cli.log import rendering as log_rendering

        where = answer_filter("", None, None, None, None, since, None, None, None)
        with opened(data_dir) as pipeline:
            rows = pipeline.log.stats(where)
        if as_json:
            print_json([asdict(row) for row in rows])
        else:
            out().print(log_rendering.statistics(rows))


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="A file; a folder for beir.", show_default=False)],
    form: Annotated[Literal["jsonl", "csv", "beir"], typer.Option("--format", "-f")] = "jsonl",
    text: Text = "",
    collection: InCollection = None,
    feedback_is: FeedbackIs = None,
    since: Since = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write answers for other tools; `beir` writes the judged ones as queries, corpus and qrels."""
    with reported(as_json):
        from winnow.app import jsonable

        where = answer_filter(text, collection, None, None, feedback_is, since, None, None, None)
        with opened(data_dir) as pipeline:
            count = pipeline.log.export(form, target, where, shape=jsonable.answer)
        if as_json:
            print_json({"written": count, "target": str(target)})
        else:
            note(f"{count} written to {target}")


for command in (prune, redact, off, on, vacuum, backup):
    app.command()(command)
