"""`winnow doctor`: is everything there, and what to do where it is not."""

from __future__ import annotations

import typer

from winnow.cli.options import AsJson, Collection, DataDir, settings
from winnow.cli.terminal import EXIT_FAILURE, out, print_json, reported, safe

_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "bad": ("✗", "red")}


def doctor(collection: Collection = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check models, store, log, chat endpoint, disk and versions."""
    with reported(as_json):
        from rich.text import Text

        from winnow import diagnosis

        checks = diagnosis.run(settings(data_dir, collection))
        if as_json:
            print_json([check.to_dict() for check in checks])
        else:
            for check in checks:
                mark, style = _MARKS[check.state]
                out().print(
                    Text(f"{mark} ", style=style) + safe(f"{check.name}: ", "bold") + safe(check.finding)
                )
                if check.advice:
                    out().print(safe(f"    {check.advice}", "dim"))
        if any(check.state == "bad" for check in checks):
            raise typer.Exit(EXIT_FAILURE)
