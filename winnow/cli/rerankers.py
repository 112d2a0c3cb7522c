"""`winnow rerankers` and `winnow rerank`: strategies, and reranking without a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from storage.errors import BadInputError
from winnow.cli.ask import Question
from winnow.cli.command_options import CommandGroup
from winnow.cli.options import AsJson, Options, Rerank
from winnow.cli.stdin import DASH, question_of
from winnow.cli.terminal import out, print_json, print_rows, safe, warn

if TYPE_CHECKING:
    from rerank.known_models import KnownModel

app = CommandGroup(help="What can rerank.", no_args_is_help=True)

Texts = Annotated[
    Path | None,
    Argument(help="A file with one text a line (default, and -: standard input).", show_default=False),
]
TopK = Annotated[int, Option("--top-k", "-k", help="How many to keep.", min=1)]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every strategy, what it needs, and how often it asks a model over the network for the best 5 of 50.

    Then models for `cross-encoder(model=…)`; docs/rerankers.md has the sources of their figures.
    """
    from rich.padding import Padding

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
    for model in known_models():
        out().print()
        out().print(safe(f" {model.name}"))
        out().print(Padding(safe("; ".join(_facts(model)), "dim"), (0, 0, 0, 3), expand=False))


def _facts(model: KnownModel) -> Iterator[str]:
    """The facts about a model, in few words."""
    yield from (model.languages, model.size, model.licence)
    if model.quality is not None:
        yield f"nDCG@10 {model.quality:.3f} in English"
    if model.chinese is not None:
        yield f"{model.chinese} in Chinese (CMTEB-R)"
    if model.seconds:
        yield f"{' or '.join(f'{one:g}' for one in model.seconds)} s for 50 pairs on one thread"
    if model.note:
        yield model.note


def rerank(
    question: Question, options: Options, texts: Texts = None, spec: Rerank = None, top_k: TopK = 5
) -> None:
    """Rerank texts of your own, one a line, without a store."""
    from winnow.app.reranking import rerank as rerank_texts
    from winnow.app.stages import warnings_of

    if question == DASH and texts in (None, Path(DASH)):
        raise BadInputError(
            "question and texts cannot both be standard input",
            way_out="Name a file of texts, or the question.",
        )
    question = question_of(question)
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
        text = sys.stdin.read() if path is None or path == Path(DASH) else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path or 'standard input'} cannot be read: {error}") from error
    return [line for line in text.splitlines() if line.strip()]
