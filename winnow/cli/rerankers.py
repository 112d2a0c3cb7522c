"""`winnow rerankers` and `winnow rerank`: strategies, and reranking without a store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.ask import Question
from winnow.cli.options import AsJson, DataDir, Rerank, settings
from winnow.cli.terminal import out, print_json, reported, safe, warn

app = typer.Typer(help="What can rerank.", no_args_is_help=True)

Texts = Annotated[
    Path | None,
    typer.Argument(help="A file with one text a line (default: standard input).", show_default=False),
]
TopK = Annotated[int, typer.Option("--top-k", "-k", help="How many to keep.", min=1)]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every strategy, what it needs, and how often it asks a model over the network for the best 5 of 50."""
    with reported(as_json):
        from dataclasses import asdict

        from rich.table import Table

        from rerank.registry import describe
        from rerank.spec import PRESETS

        strategies = describe()
        if as_json:
            print_json(
                {"strategies": [asdict(strategy) for strategy in strategies], "presets": dict(PRESETS)}
            )
            return
        table = Table(box=None)
        for heading in ("strategy", "calls, 50 → 5", "needs"):
            table.add_column(heading, justify="right" if heading.startswith("calls") else "left")
        for strategy in strategies:
            calls = "?" if strategy.calls is None else str(strategy.calls)
            table.add_row(strategy.name, calls, safe(strategy.needs, "dim"))
        for name, spec in PRESETS.items():
            table.add_row(f"{name} (preset)", "", safe(f"= {spec}", "dim"))
        out().print(table)


def rerank(
    question: Question,
    texts: Texts = None,
    spec: Rerank = None,
    top_k: TopK = 5,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Rerank texts of your own, one a line, without a store."""
    with reported(as_json):
        from winnow.app import jsonable
        from winnow.app.reranking import rerank as rerank_texts

        ranked = rerank_texts(question, _lines(texts), spec, top_k=top_k, settings=settings(data_dir))
        if as_json:
            print_json(jsonable.ranked_texts(ranked))
            return
        for place, result in enumerate(ranked.results, start=1):
            score = "" if result.score is None else f"  {result.score:.3f}"
            out().print(safe(f"{place}.{score}  ", "cyan") + safe(result.text))
        for outcome in ranked.outcomes:
            if outcome.status != "ok":
                warn(f"{outcome.name} {outcome.status}: {outcome.reason}")


def _lines(path: Path | None) -> list[str]:
    from storage.errors import BadInputError

    try:
        text = path.read_text(encoding="utf-8") if path else sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path or 'standard input'} cannot be read: {error}") from error
    return [line for line in text.splitlines() if line.strip()]
