"""How the server is: the quick checks of `winnow doctor`, what it works on, memory, models, paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import WinnowError
from winnow.app.settings import FILE
from winnow.server.pages.views.in_effect import without_password
from winnow.server.served import Served

if TYPE_CHECKING:
    from winnow.app.models import Model
    from winnow.upkeep.doctor_checks import Check


@dataclass(frozen=True, slots=True)
class Work:
    """What is under way: questions, those that wait and how many may; jobs."""

    inside: int
    places: int
    waiting: int
    queue: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Place:
    """A path, by the word that names it; `there` says whether it exists."""

    word: str
    path: str
    there: bool


@dataclass(frozen=True, slots=True)
class Health:
    """`not_ready`: why questions are not answered yet, or empty. `memory` in bytes, now and at most."""

    not_ready: str
    checks: Sequence[Check]
    work: Work
    memory: tuple[int, int] | None
    models: Sequence[Model]
    places: Sequence[Place]


def health(served: Served) -> Health:
    """Looks at everything that costs little. Blocking."""
    from winnow.app.models import models
    from winnow.upkeep import doctor_checks

    wiring = served.pipeline.wiring
    return Health(
        not_ready=_not_ready(served),
        checks=[_shown(served, check) for check in doctor_checks.quick(wiring)],
        work=_work(served),
        memory=memory(Path("/proc/self/status")),
        models=[
            replace(model, place=without_password(served.problems.shown(model.place)))
            for model in models(served.pipeline.settings)
            if "these settings" in model.used_as
        ],
        places=_places(served),
    )


def memory(status: Path) -> tuple[int, int] | None:
    """What this process holds and has held at most, in bytes; None where the system does not say so."""
    try:
        lines = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines() if ":" in line)
        now, most = (int(lines[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError, ValueError, IndexError):
        return None
    return now, most


def _not_ready(served: Served) -> str:
    try:
        served.warmth.check()
    except WinnowError as error:
        return served.problems.sentence(error)
    return ""


def _shown(served: Served, check: Check) -> Check:
    found, advice = (without_password(served.problems.shown(text)) for text in (check.finding, check.advice))
    return replace(check, finding=found, advice=advice)


def _work(served: Served) -> Work:
    jobs = [*served.jobs.all(), *served.comparisons.all()]
    chosen = served.settings
    return Work(
        served.gate.inside,
        chosen.concurrency,
        served.gate.waiting,
        chosen.queue,
        sum(not job.ended for job in jobs),
    )


def _places(served: Served) -> list[Place]:
    settings = served.pipeline.settings
    own = {
        "paths.file": Path(FILE),
        "paths.data": settings.data_dir,
        "paths.log": settings.data_dir / "winnow.db" if settings.log.url is None else None,
        "paths.collections": settings.collections_dir if settings.store.url is None else None,
        "paths.uploads": settings.uploads_dir,
        "paths.tokens": settings.tokens_file,
    }
    return [
        Place(word, str(path.absolute()), path.exists()) for word, path in own.items() if path is not None
    ]
