"""`make demo`: ingest the project's examples, ask four questions, show the effect of reranking."""

from __future__ import annotations

import json
import shlex
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from winnow.cli.options import DataDir, settings
from winnow.cli.terminal import out, safe, warn

if TYPE_CHECKING:
    from winnow.pipeline import RAGPipeline

COLLECTION = "examples"
# As wide as the narrowest terminal, since a pipe has no width.
_RULE = "─" * 80

Examples = Annotated[
    Path | None,
    Option("--examples", help="The folder with documents/ and questions.jsonl.", show_default=False),
]


def demo(examples: Examples = None, data_dir: DataDir = None) -> None:
    """Ingest the examples and ask four questions."""
    from winnow.pipeline import RAGPipeline

    examples = examples or shipped()
    # the demo shows the embedded default, whatever winnow.toml says
    chosen = settings(data_dir, COLLECTION, answer={"answerer": "extractive"})
    with RAGPipeline.from_settings(chosen) as pipeline:
        _ingest(pipeline, examples / "documents")
        warned: set[str] = set()
        for question in _questions(examples / "questions.jsonl"):
            _ask(pipeline, question, warned)
    _look_further()


def shipped() -> Path:
    """Return the folder of the examples: in a clone its own, and what lies in the wheel elsewhere."""
    here, packaged = Path("examples"), Path(str(files("winnow"))) / "examples"
    clone = Path(__file__).resolve().parents[2] / "examples"
    return next((one for one in (here, packaged, clone) if (one / "questions.jsonl").is_file()), here)


def _ingest(pipeline: RAGPipeline, documents: Path) -> None:
    from winnow.cli.ingest import run_with_progress

    _command("ingest", str(documents), "--collection", COLLECTION)
    run_with_progress(partial(pipeline.ingest, [documents]))


def _ask(pipeline: RAGPipeline, question: str, warned: set[str]) -> None:
    from winnow.cli import rendering

    _command("ask", question, "--collection", COLLECTION)
    answer = pipeline.ask(question)
    out().print(rendering.answer(answer))
    warn(*set(answer.warnings) - warned)
    warned.update(answer.warnings)


def _questions(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").split("\n")
    questions = [json.loads(line) for line in lines if line]
    return [str(question["text"]) for question in questions if question.get("demo")]


def _command(*words: str) -> None:
    out().print()
    out().print(safe(_RULE, "dim"))
    # soft: a command that does not fit stays one line for copying
    out().print(safe(f"$ winnow {shlex.join(words)}", "bold cyan"), soft_wrap=True)
    out().print()


def _in_clone() -> str:
    """Return where `make demo` has put the command; outside of a clone it is found by its name."""
    return ".venv/bin/" if Path("Makefile").is_file() and Path(".venv/bin/winnow").exists() else ""


def _look_further() -> None:
    out().print()
    out().print(safe(_RULE, "dim"))
    for words, what in (
        ("winnow log list", "every question that was asked"),
        ("winnow log show ID", "one answer, with the ranks of all 50 candidates at every stage"),
        (f"winnow ask '...' --collection {COLLECTION} --json", "the same for programs"),
        ("winnow ingest PATH", "your own documents"),
    ):
        out().print(safe(f"  {_in_clone()}{words}", "cyan"))
        out().print(safe(f"      {what}", "dim"))
