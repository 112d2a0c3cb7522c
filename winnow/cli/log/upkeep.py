"""`winnow log prune`, `redact`, `off`, `on`, `vacuum`, `backup`: keeping the log small, private and safe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.log.options import moment, opened
from winnow.cli.options import AsJson, DataDir
from winnow.cli.terminal import note, print_json, reported


def prune(
    older_than: Annotated[str, typer.Option("--older-than", help="A date, or an age: 90d, 12h.")],
    judged: Annotated[bool, typer.Option("--judged", help="Forget judged answers too.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Forget old answers; those with feedback are kept."""
    with reported(as_json):
        from dataclasses import asdict

        with opened(data_dir) as pipeline:
            pruned = pipeline.log.prune(moment(older_than), judged=judged)
        if as_json:
            print_json(asdict(pruned))
        else:
            note(f"{pruned.answers} answers, {pruned.passages} passages forgotten; {pruned.kept} judged kept")


def redact(
    patterns: Annotated[list[str], typer.Argument(help="Regular expressions.", show_default=False)],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Overwrite what matches, everywhere in the log. `log.redact` in the settings does it before writing."""
    with reported(as_json):
        with opened(data_dir) as pipeline:
            changed = pipeline.log.redact(patterns)
        if as_json:
            print_json({"changed": changed})
        else:
            note(f"{changed} rows changed")


def off(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Log no more answers in this data folder; what is logged stays. (`log.enabled = false` is for good.)"""
    with reported(as_json):
        with opened(data_dir) as pipeline:
            pipeline.log.off()
        _switched(False, as_json)


def on(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Log answers again."""
    with reported(as_json):
        with opened(data_dir) as pipeline:
            pipeline.log.on()
        _switched(True, as_json)


def _switched(logging: bool, as_json: bool) -> None:
    if as_json:
        print_json({"logging": logging})
    else:
        note(
            "answers are logged again"
            if logging
            else "no answer is logged from now on, until `winnow log on`"
        )


def vacuum(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Give the space of forgotten answers back to the disk."""
    with reported(as_json):
        with opened(data_dir) as pipeline:
            freed = pipeline.log.vacuum()
        if as_json:
            print_json({"bytes_freed": freed})
        else:
            note(f"{freed / 1024**2:.1f} MB freed")


def backup(
    target: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy the log while others may be writing to it."""
    with reported(as_json):
        with opened(data_dir) as pipeline:
            pipeline.log.backup(target)
        if as_json:
            print_json({"target": str(target)})
        else:
            note(f"written to {target}")
