"""`winnow log prune`, `redact`, `off`, `on`, `vacuum`, `backup`: keep the log small, private and safe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.command_options import command
from winnow.cli.log.options import moment
from winnow.cli.options import Options

Age = Annotated[str, typer.Option("--older-than", help="A date, or an age: 90d, 12h.")]
Judged = Annotated[bool, typer.Option("--judged", help="Forget judged answers too.")]
Patterns = Annotated[list[str], typer.Argument(help="Regular expressions.", show_default=False)]
Target = Annotated[Path, typer.Argument(help="The file to write.", show_default=False)]


@command
def prune(older_than: Age, options: Options, judged: Judged = False) -> None:
    """Forget old answers; those with feedback are kept."""
    from dataclasses import asdict

    with options.pipeline() as pipeline:
        pruned = pipeline.log.prune(moment(older_than), judged=judged)
    options.done(
        asdict(pruned),
        f"{pruned.answers} answers, {pruned.passages} passages forgotten; {pruned.kept} judged kept",
    )


@command
def redact(patterns: Patterns, options: Options) -> None:
    """Overwrite what matches, everywhere in the log. `log.redact` in the settings does it before writing."""
    with options.pipeline() as pipeline:
        changed = pipeline.log.redact(patterns)
    options.done({"changed": changed}, f"{changed} rows changed")


@command
def off(options: Options) -> None:
    """Log no more answers in this data folder; what is logged stays. (`log.enabled = false` is for good.)"""
    with options.pipeline() as pipeline:
        pipeline.log.off()
    options.done({"logging": False}, "no answer is logged from now on, until `winnow log on`")


@command
def on(options: Options) -> None:
    """Log answers again."""
    with options.pipeline() as pipeline:
        pipeline.log.on()
    options.done({"logging": True}, "answers are logged again")


@command
def vacuum(options: Options) -> None:
    """Give the space of forgotten answers back to the disk."""
    with options.pipeline() as pipeline:
        freed = pipeline.log.vacuum()
    options.done({"bytes_freed": freed}, f"{freed / 1024**2:.1f} MB freed")


@command
def backup(target: Target, options: Options) -> None:
    """Copy the log while others may be writing to it."""
    with options.pipeline() as pipeline:
        pipeline.log.backup(target)
    options.done({"target": str(target)}, f"written to {target}")
