"""`/settings`: the settings in effect, and the health of the server. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from storage.errors import WinnowError
from winnow.app.settings import FILE, Settings
from winnow.server.pages.rendering import render
from winnow.server.pages.views.in_effect import in_effect
from winnow.server.shared_state import Seen, Served, State, in_thread

router = APIRouter(include_in_schema=False)


@router.get("/settings")
async def page(request: Request, served: State, seen: Seen) -> HTMLResponse:
    seen.check_sees_all()
    return await in_thread(lambda: render(request, "settings.html", served=served, **_values(served)))


def memory(status: Path) -> tuple[int, int] | None:
    """Return this process's memory in bytes, current and peak; None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines() if ":" in line)
        now, most = (int(lines[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError, ValueError, IndexError):
        return None
    return now, most


def _values(served: Served) -> Mapping[str, Any]:
    """Check everything that costs little to check. Blocking."""
    from winnow.app.models import models
    from winnow.upkeep import doctor_checks

    settings = served.pipeline.settings
    return {
        "not_ready": _not_ready(served),
        "checks": doctor_checks.quick(served.pipeline.wiring),
        "shown": served.problems.shown,
        "jobs": sum(not job.ended for job in [*served.jobs.all(), *served.comparisons.all()]),
        "memory": memory(Path("/proc/self/status")),
        "models": [
            replace(model, place=served.problems.shown(model.place))
            for model in models(settings)
            if "these settings" in model.used_as
        ],
        "paths": _paths(settings),
        "sections": in_effect(settings, served.problems.shown),
    }


def _not_ready(served: Served) -> str:
    """Tell why questions are not answered yet; empty where they are."""
    try:
        served.warm_up.check()
    except WinnowError as error:
        return served.problems.sentence(error)
    return ""


def _paths(settings: Settings) -> dict[str, Path | None]:
    """Return the server's paths by the key of their text; None for those that it does not use."""
    return {
        "file": Path(FILE),
        "data": settings.data_dir,
        "log": settings.data_dir / "winnow.db" if settings.log.url is None else None,
        "collections": settings.collections_dir if settings.store.url is None else None,
        "uploads": settings.uploads_dir,
        "tokens": settings.tokens_file,
    }
