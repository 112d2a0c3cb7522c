"""`winnow doctor`: checks the installation and says how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from winnow.cli.options import CollectionOptions
from winnow.cli.terminal import EXIT_FAILURE, EXIT_REFUSED, note, out, print_json, progress_bars, safe

if TYPE_CHECKING:
    from winnow.app.settings import Settings
    from winnow.upkeep.doctor_checks import Check
    from winnow.upkeep.repair import Repaired

_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "bad": ("✗", "red")}

Repair = Annotated[
    bool,
    Option(
        "--repair", help="Rebuild a broken collection from its files; save what a damaged database holds."
    ),
]


def doctor(options: CollectionOptions, repair: Repair = False) -> None:
    """Check models, store, collection, log, chat endpoint, disk and versions."""
    from winnow.upkeep import doctor_checks

    chosen = options.settings()
    repaired = _repaired(chosen, options.as_json) if repair else None
    with progress_bars(shown=not options.as_json) as bars:
        checks = doctor_checks.run(chosen, bars)
    if options.as_json:
        results = [check.to_dict() for check in checks]
        print_json(results if repaired is None else {**_to_dict(repaired), "checks": results})
    else:
        _print(checks)
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(EXIT_FAILURE)
    if repaired is not None and repaired.report is not None and repaired.report.refused:
        raise typer.Exit(EXIT_REFUSED)


def _repaired(chosen: Settings, as_json: bool) -> Repaired:
    from winnow.app.wiring import Wiring
    from winnow.upkeep.integrity import examine
    from winnow.upkeep.repair import repair, repair_database

    mended = repair_database(chosen)  # the manifest in it tells what the collection lacks
    with Wiring(chosen) as wiring:
        if as_json:
            repaired = repair(wiring, examine(wiring, chosen.collection))
            return replace(repaired, done=(*mended, *repaired.done))
        from winnow.cli import ingest_rendering

        with progress_bars() as bars:
            found = examine(wiring, chosen.collection, bars)
        with ingest_rendering.progress_bar() as progress:
            repaired = repair(wiring, found, progress)
        repaired = replace(repaired, done=(*mended, *repaired.done))
        if repaired.report is not None:
            ingest_rendering.print_report(repaired.report)
        note(*repaired.done or ("there was nothing to repair",))
    return repaired


def _to_dict(repaired: Repaired) -> dict[str, Any]:
    report = None if repaired.report is None else repaired.report.to_dict()
    return {"repaired": list(repaired.done), "report": report}


def _print(checks: Sequence[Check]) -> None:
    from rich.text import Text

    for check in checks:
        mark, style = _MARKS[check.state]
        out().print(Text(f"{mark} ", style=style) + safe(f"{check.name}: ", "bold") + safe(check.finding))
        if check.advice:
            out().print(safe(f"    {check.advice}", "dim"))
