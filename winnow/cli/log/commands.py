"""`winnow log`: shows, replays, compares, judges, exports and prunes logged answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from storage.errors import NotFoundError
from storage.reasons import Reason
from winnow.cli.command_options import CommandGroup
from winnow.cli.log.options import InCollection, ListOptions, PickOptions, Since, grades, moment
from winnow.cli.options import Options, Rerank
from winnow.cli.terminal import EXIT_FAILURE, note, out, print_json, progress_bars, warn

app = CommandGroup(help="Look at logged answers, replay, compare and judge them.", no_args_is_help=True)

Limit = Annotated[int, Option("--limit", "-n", help="How many, newest first.", min=1)]
AnswerId = Annotated[
    str, Argument(metavar="ID", help="An answer's id, or its beginning.", show_default=False)
]
Prompt = Annotated[bool, Option("--prompt", help="The prompt too.")]
Calls = Annotated[bool, Option("--calls", help="Every exchange with a model (log.llm_calls).")]
Answerer = Annotated[
    str | None,
    Option("--answerer", metavar="NAME", help="`extractive` or `openai` (default: the logged one)."),
]
TopK = Annotated[int | None, Option("--top-k", "-k", help="Passages to keep.", min=1)]
Save = Annotated[bool, Option("--save/--no-save", help="Log the replay, linked to its original.")]
Specs = Annotated[list[str], Option("--rerank", "-r", help="A rerank spec to compare; repeatable.")]
Last = Annotated[int, Option("--last", help="How many of the newest answers.", min=1)]
Page = Annotated[Path | None, Option("--html", metavar="FILE", help="Write a page with plots, too.")]
Floor = Annotated[float, Option("--min-ndcg", help="Fail below this nDCG@5.", min=0, max=1)]
Good = Annotated[bool | None, Option("--good/--bad", help="What you think of the answer.")]
Grades = Annotated[
    list[str] | None,
    Option("--passage", metavar="N=GRADE", help="Grade passage N: 0 (no use) to 3 (answers it)."),
]
Remark = Annotated[str, Option("--note", help="Why.")]
Target = Annotated[Path, Argument(help="A file; a folder for beir.", show_default=False)]
Form = Annotated[Literal["jsonl", "csv", "beir"], Option("--format", "-f")]

Age = Annotated[str, Option("--older-than", help="A date, or an age: 90d, 12h.")]
Judged = Annotated[bool, Option("--judged", help="Forget judged answers too.")]
Patterns = Annotated[list[str], Argument(help="Regular expressions.", show_default=False)]
File = Annotated[Path, Argument(help="The file to write.", show_default=False)]


@app.command("list")
def list_(options: ListOptions, limit: Limit = 20) -> None:
    """The newest answers that match."""
    with options.pipeline() as pipeline:
        summaries = pipeline.log.list(limit, options.where())
    if options.as_json:
        from winnow.app.json_model.log import SummaryJson

        print_json([SummaryJson.of(summary) for summary in summaries])
    elif summaries:
        from winnow.cli.log import rendering

        out().print(rendering.summaries(summaries))
    else:
        note("No answer matches.")


@app.command()
def show(
    answer_id: AnswerId,
    options: Options,
    prompt: Prompt = False,
    collection: InCollection = None,
    calls: Calls = False,
) -> None:
    """One answer: who rose and who fell from retrieval to the answer, where the time went, every rank."""
    with options.pipeline() as pipeline:
        answer = pipeline.log.get(answer_id)
    if collection is not None and answer.collection != collection:
        raise NotFoundError(
            f"answer {answer.id} is of the collection {answer.collection!r}, not {collection!r}"
        )
    if options.as_json:
        from winnow.app.json_model.answers import AnswerJson

        print_json(AnswerJson.of(answer, exchanges=calls))
        return
    from winnow.cli.log import rendering
    from winnow.cli.rendering import logged_answer

    out().print(logged_answer(answer))
    if prompt:
        out().print(rendering.prompt(answer))
    if calls:
        out().print(rendering.exchanges(answer))
    # the reasons of stages stand beside their times already
    warn(*(one for one in answer.warnings if Reason.of(one).code != "winnow.app.stages"))


@app.command()
def replay(
    answer_id: AnswerId,
    options: Options,
    rerank: Rerank = None,
    answerer: Answerer = None,
    top_k: TopK = None,
    save: Save = True,
) -> None:
    """Run a logged answer's own candidates through another chain: old and new side by side, no store."""
    with options.pipeline() as pipeline:
        replayed = pipeline.log.replay(answer_id, rerank, answerer=answerer, top_k=top_k, save=save)
    if options.as_json:
        from winnow.app.json_model.log import ReplayJson

        print_json(ReplayJson.of(replayed))
        return
    from winnow.cli.log import rendering

    out().print(rendering.replay(replayed))
    warn(*replayed.answer.warnings)


@app.command()
def compare(specs: Specs, options: PickOptions, last: Last = 100, html: Page = None) -> None:
    """Rerank specs over many logged answers: agreement, cost, latency, quality where passages were judged."""

    from winnow.lab.reports import comparison
    from winnow.lab.reports.page import check_file, write

    if html is not None:
        check_file(html)
    with options.pipeline() as pipeline, progress_bars() as progress:
        rows = pipeline.log.compare(specs, options.where(), last=last, progress=progress)
    if html is not None:
        write(comparison.html(rows), html)
    if options.as_json:
        print_json({"results": rows})
        return
    from winnow.cli.log import rendering

    out().print(rendering.comparison(rows))
    if html is not None:
        note(f"written to {html}")


@app.command()
def regress(floor: Floor, options: Options) -> None:
    """Replay all judged answers under the current settings; exit code 1 below the floor."""
    from winnow.cli.log import rendering

    with options.pipeline() as pipeline, progress_bars() as progress:
        row = pipeline.log.regress(progress=progress)
    passed = row.ndcg is not None and row.ndcg >= floor
    if options.as_json:
        print_json({**asdict(row), "min_ndcg": floor, "passed": passed})
    else:
        out().print(rendering.comparison([row]))
        note(f"nDCG@5 {row.ndcg:.3f} over {row.judged} judged answers, the floor is {floor:g}")
    if not passed:
        raise typer.Exit(EXIT_FAILURE)


@app.command()
def feedback(
    answer_id: AnswerId, options: Options, good: Good = None, passage: Grades = None, remark: Remark = ""
) -> None:
    """Judge an answer and its passages. Judged answers become qrels and training pairs."""
    from winnow.app.json_model.log import FeedbackJson

    with options.pipeline() as pipeline:
        kept = pipeline.log.feedback(answer_id, good=good, note=remark, grades=grades(passage or []))
    options.done(FeedbackJson.of(kept), f"noted; {len(kept.grades)} passages of this answer are judged")


@app.command()
def stats(options: Options, since: Since = None) -> None:
    """For each rerank spec: answers, times, cost, fallbacks, feedback."""
    from storage.log.records import AnswerFilter
    from winnow.cli.log import rendering

    with options.pipeline() as pipeline:
        rows = pipeline.log.stats(AnswerFilter(since=moment(since) if since else None))
    if options.as_json:
        print_json(rows)
    else:
        out().print(rendering.statistics(rows))


@app.command()
def export(target: Target, options: PickOptions, form: Form = "jsonl") -> None:
    """Write answers for other tools; `beir` writes the judged ones as queries, corpus and qrels."""
    with options.pipeline() as pipeline:
        count = pipeline.log.export(form, target, options.where())
    options.done({"written": count, "target": str(target)}, f"{count} written to {target}")


@app.command()
def prune(older_than: Age, options: Options, judged: Judged = False) -> None:
    """Forget old answers; those with feedback are kept."""
    with options.pipeline() as pipeline:
        pruned = pipeline.log.prune(moment(older_than), judged=judged)
    options.done(
        pruned,
        f"{pruned.answers} answers, {pruned.passages} passages forgotten; {pruned.kept} judged kept",
    )


@app.command()
def redact(patterns: Patterns, options: Options) -> None:
    """Overwrite what matches, everywhere in the log. `log.redact` in the settings does it before writing."""
    with options.pipeline() as pipeline:
        changed = pipeline.log.redact(patterns)
    options.done({"changed": changed}, f"{changed} rows changed")


@app.command()
def off(options: Options) -> None:
    """Log no more answers in this data folder; what is logged stays. (`log.enabled = false` is for good.)"""
    with options.pipeline() as pipeline:
        pipeline.log.off()
    options.done({"logging": False}, "no answer is logged from now on, until `winnow log on`")


@app.command()
def on(options: Options) -> None:
    """Log answers again."""
    with options.pipeline() as pipeline:
        pipeline.log.on()
    options.done({"logging": True}, "answers are logged again")


@app.command()
def vacuum(options: Options) -> None:
    """Give the space of forgotten answers back to the disk."""
    with options.pipeline() as pipeline:
        freed = pipeline.log.vacuum()
    options.done({"bytes_freed": freed}, f"{freed / 1024**2:.1f} MB freed")


@app.command()
def backup(target: File, options: Options) -> None:
    """Copy the log while others may be writing to it."""
    with options.pipeline() as pipeline:
        pipeline.log.backup(target)
    options.done({"target": str(target)}, f"written to {target}")
