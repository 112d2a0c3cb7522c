"""`winnow doctor`: is everything there, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.cli.bars import progress_bars
from winnow.cli.options import AsJson, Collection, DataDir, settings
from winnow.cli.terminal import EXIT_FAILURE, EXIT_REFUSED, note, out, print_json, reported, safe

if TYPE_CHECKING:
    from winnow.app.settings import Settings
    from winnow.upkeep.doctor_checks import Check
    from winnow.upkeep.repair import Repaired

_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "bad": ("✗", "red")}


Repair = Annotated[
    bool, typer.Option("--repair", help="Mend the collection: from its files, beside the old one, then swap.")
]


def doctor(
    repair: Repair = False, collection: Collection = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Check models, store, collection, log, chat endpoint, disk and versions."""
    with reported(as_json):
        from winnow.upkeep import doctor_checks

        chosen = settings(data_dir, collection)
        repaired = _repaired(chosen, as_json) if repair else None
        if as_json:
            checks = doctor_checks.run(chosen)
        else:
            with progress_bars() as bars:
                checks = doctor_checks.run(chosen, bars)
        if as_json:
            found = [check.to_dict() for check in checks]
            print_json(found if repaired is None else {**_to_dict(repaired), "checks": found})
        else:
            _print(checks)
        if any(check.state == "bad" for check in checks):
            raise typer.Exit(EXIT_FAILURE)
        if repaired is not None and repaired.report is not None and repaired.report.refused:
            raise typer.Exit(EXIT_REFUSED)


def _repaired(chosen: Settings, as_json: bool) -> Repaired:
    from winnow.app.wiring import Wiring
    from winnow.upkeep.integrity import examine
    from winnow.upkeep.repair import repair

    with Wiring(chosen) as wiring:
        if as_json:
            return repair(wiring, examine(wiring, chosen.collection))
        from winnow.cli import ingest_rendering

        with progress_bars() as bars:
            found = examine(wiring, chosen.collection, bars)
        with ingest_rendering.progress_bar() as progress:
            repaired = repair(wiring, found, progress)
        if repaired.report is not None:
            ingest_rendering.print_report(repaired.report)
        for done in repaired.done or ("there was nothing to repair",):
            note(done)
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
