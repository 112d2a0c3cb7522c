"""`/compare`: rerank specs over the log, as logged and replayed. `/compare/{id}`: one comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup
from starlette.datastructures import FormData

from storage.errors import BadInputError, WinnowError
from storage.log.records import AnswerFilter
from winnow.lab.reports.comparison import Plot, disputed, plots
from winnow.lab.reports.plots import scatter
from winnow.server.api.comparisons import MOST_ANSWERS, MOST_SPECS, Comparison
from winnow.server.pages.forms import texts
from winnow.server.pages.preferences import Preferences
from winnow.server.pages.rendering import render
from winnow.server.pages.views.log_filter import LogFilter
from winnow.server.pages.views.specs import offered
from winnow.server.pages.words import Words
from winnow.server.shared_state import Seen, Served, State, in_thread
from winnow.server.visible import Visible

router = APIRouter(include_in_schema=False)

Id = Annotated[str, Path(max_length=64)]
_SEE_OTHER = 303
_MAX_FIELDS = 100
_FROM_LOG = 12  # the most used specs of the log
_DEFAULT_LAST = 50
_LATELY = 100


@router.get("/compare")
async def page(request: Request, served: State, seen: Seen) -> HTMLResponse:
    return await _page(request, served, seen)


@router.post("/compare")
async def compare(request: Request, served: State, seen: Seen) -> Response:
    async with request.form(max_files=0, max_fields=_MAX_FIELDS) as form:
        typed, specs = texts(form), _specs(form)
    try:
        job = await in_thread(lambda: _comparison(served, seen, typed, specs))
        served.comparisons.check_room()
    except WinnowError as error:
        return await _page(request, served, seen, refused=error, typed=typed, specs=specs)
    return RedirectResponse(f"/compare/{served.comparisons.submit(job).id}", _SEE_OTHER)


@router.get("/compare/{job_id}")
async def one(request: Request, job_id: Id, served: State, seen: Seen) -> HTMLResponse:
    job = served.comparisons.one(seen, job_id)
    words = Words(Preferences.of(request).language)
    return await in_thread(
        lambda: render(
            request,
            "comparison.html",
            job=job,
            plots=[(plot, _drawn(plot, words)) for plot in plots(job.rows)] if job.rows else (),
            # the answers on which the specs disagree most with the log, each as the specs ranked it
            disputes=[[row.each[place] for row in job.rows] for place in disputed(job.rows)]
            if job.rows
            else (),
        )
    )


@router.post("/compare/{job_id}/cancel")
async def cancel(job_id: Id, served: State, seen: Seen) -> RedirectResponse:
    served.comparisons.cancel(served.comparisons.one(seen, job_id).id)
    return RedirectResponse(f"/compare/{job_id}", _SEE_OTHER)


async def _page(
    request: Request,
    served: Served,
    seen: Visible,
    *,
    refused: WinnowError | None = None,
    typed: Mapping[str, str] | None = None,
    specs: Sequence[str] = (),
) -> HTMLResponse:
    # a replay reuses its original's stages, so its times tell nothing
    stats = await in_thread(lambda: seen.log.stats(AnswerFilter(replays=False)))
    problem = served.problems.of(refused) if refused else None
    logged = [row.rerank for row in stats[:_FROM_LOG]]
    return render(
        request,
        "compare.html",
        status=problem["status"] if problem else 200,
        stats=stats,
        specs=offered(served.pipeline.settings, served.policy, logged),
        jobs=served.comparisons.seen(seen),
        collections=await in_thread(lambda: _asked_lately(seen)),
        problem=problem,
        typed=typed or {"last": str(_DEFAULT_LAST)},
        chosen=specs or logged[:2],
        filter=LogFilter.of(typed or {}),
        most=MOST_ANSWERS,
    )


def _comparison(served: Served, seen: Visible, typed: Mapping[str, str], specs: Sequence[str]) -> Comparison:
    """Return the job that a form describes. Raises BadInputError, NotAllowedError, SpecError, LogError."""
    if not 1 <= len(specs) <= MOST_SPECS:
        raise BadInputError(f"{len(specs)} rerank specs are chosen", way_out=f"Choose 1 to {MOST_SPECS}.")
    for spec in specs:
        served.policy.check_rerank(spec)
    chosen = LogFilter.of(typed)
    last = typed.get("last", "")
    if chosen.wrong or not (last.isascii() and last.isdecimal() and 1 <= int(last[:9]) <= MOST_ANSWERS):
        raise BadInputError(
            f"the value of the field {chosen.wrong or 'last'!r} is not valid",
            way_out=f"Compare over 1 to {MOST_ANSWERS} answers.",
        )
    if not seen.log.list(1, replace(chosen.where, replays=False)):
        raise BadInputError(
            "no logged answer matches, so there is nothing to compare",
            way_out="Ask something first, or remove words and filters.",
        )
    return Comparison(specs=tuple(specs), last=int(last), where=chosen.where, seen=seen)


def _asked_lately(seen: Visible) -> list[str]:
    """Return the collections of the newest answers, to choose from; the store is not asked for its own."""
    return sorted({one.collection for one in seen.log.list(_LATELY)})


def _drawn(plot: Plot, words: Words) -> Markup:
    """Draw a plot, its axes named in the reader's language; `scatter` escapes the labels."""
    label = words(f"plot.{plot.x}")
    return Markup(scatter(plot.dots, x_label=label, y_label=plot.y, logarithmic=plot.x == "latency"))


def _specs(form: FormData) -> list[str]:
    """Return the ticked specs and the typed ones, which come one per line; each once."""
    ticked = [value for value in form.getlist("spec") if isinstance(value, str)]
    typed = form.get("others")
    lines = typed.splitlines() if isinstance(typed, str) else []
    return [*dict.fromkeys(spec.strip() for spec in (*ticked, *lines) if spec.strip())]
