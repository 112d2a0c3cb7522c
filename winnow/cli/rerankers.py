"""`winnow rerankers` and `winnow rerank`: strategies, and reranking without a store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from storage.errors import BadInputError
from winnow.cli.ask import Question
from winnow.cli.command_options import CommandGroup
from winnow.cli.options import AsJson, Options, Rerank
from winnow.cli.terminal import out, print_json, print_rows, safe, warn

app = CommandGroup(help="What can rerank.", no_args_is_help=True)

Texts = Annotated[
    Path | None,
    Argument(help="A file with one text a line (default: standard input).", show_default=False),
]
TopK = Annotated[int, Option("--top-k", "-k", help="How many to keep.", min=1)]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every strategy, what it needs, and how often it asks a model over the network for the best 5 of 50.

    Then models for `cross-encoder(model=…)`; docs/rerankers.md has the sources of their figures.
    """
    from rerank.known_models import known_models
    from rerank.registry import describe
    from rerank.spec import PRESETS

    strategies = describe()
    if as_json:
        print_json({"strategies": strategies, "presets": dict(PRESETS), "models": known_models()})
        return
    rows = [
        (each.name, "?" if each.calls is None else str(each.calls), safe(each.needs, "dim"))
        for each in strategies
    ]
    rows += [(f"{name} (preset)", "", safe(f"= {spec}", "dim")) for name, spec in PRESETS.items()]
    print_rows(("strategy", "calls, 50 → 5", "needs"), rows, numbers=("calls, 50 → 5",))
    out().print()
    models = [
        (
            one.name,
            one.languages,
            one.size,
            one.licence,
            "" if one.quality is None else f"{one.quality:.3f}",
            "" if one.chinese is None else f"{one.chinese:.1f}",
            " / ".join(map(str, one.seconds or ())),
            safe(one.note, "dim"),
        )
        for one in known_models()
    ]
    columns = ("model", "languages", "size", "licence", "nDCG@10 en", "zh", "s, 50 pairs", "")
    print_rows(columns, models, numbers=("nDCG@10 en", "zh", "s, 50 pairs"))


def rerank(
    question: Question, options: Options, texts: Texts = None, spec: Rerank = None, top_k: TopK = 5
) -> None:
    """Rerank texts of your own, one a line, without a store."""
    from winnow.app.reranking import rerank as rerank_texts
    from winnow.app.stages import warnings_of

    ranked = rerank_texts(question, _lines(texts), spec, top_k=top_k, settings=options.settings())
    if options.as_json:
        from winnow.app.json_model.answers import RankedTextsJson

        print_json(RankedTextsJson.of(ranked))
        return
    for place, result in enumerate(ranked.results, start=1):
        score = "" if result.score is None else f"  {result.score:.3f}"
        out().print(safe(f"{place}.{score}  ", "cyan") + safe(result.text))
    warn(*warnings_of(ranked.outcomes))


def _lines(path: Path | None) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8") if path else sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path or 'standard input'} cannot be read: {error}") from error
    return [line for line in text.splitlines() if line.strip()]
