"""`/compare`: rerank specs over the log, as logged and replayed; `/compare/{id}`: one such comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import FormData

from storage.errors import BadInputError, WinnowError
from storage.log.records import AnswerFilter
from winnow.server.api.comparisons import MOST_ANSWERS, MOST_SPECS, Comparison
from winnow.server.pages.preferences import Preferences
from winnow.server.pages.rendering import render
from winnow.server.pages.views.comparison import disputes, pictures
from winnow.server.pages.views.log_filter import LogFilter
from winnow.server.pages.views.specs import offered
from winnow.server.pages.words import Words
from winnow.server.served import Served, State, in_thread

router = APIRouter(include_in_schema=False)

Id = Annotated[str, Path(max_length=64)]
_SEE_OTHER = 303
_FIELDS = 100
_FROM_LOG = 12  # of the specs that occur in the log, the most used
_USUAL = 50


@router.get("/compare")
async def page(request: Request, served: State) -> HTMLResponse:
    return await _page(request, served)


@router.post("/compare")
async def compare(request: Request, served: State) -> Response:
    async with request.form(max_files=0, max_fields=_FIELDS) as form:
        typed, specs = _texts(form), _specs(form)
    try:
        job = await in_thread(lambda: _comparison(served, typed, specs))
        served.comparisons.check_room()
    except WinnowError as error:
        return await _page(request, served, refused=error, typed=typed, specs=specs)
    return RedirectResponse(f"/compare/{served.comparisons.submit(job).id}", _SEE_OTHER)


@router.get("/compare/{job_id}")
async def one(request: Request, job_id: Id, served: State) -> HTMLResponse:
    job = served.comparisons.get(job_id)
    words = Words(Preferences.of(request).language)
    return render(
        request,
        "comparison.html",
        job=job,
        pictures=await in_thread(lambda: pictures(job.rows, words)) if job.rows else (),
        disputes=disputes(job.rows) if job.rows else (),
    )


@router.post("/compare/{job_id}/cancel")
async def cancel(job_id: Id, served: State) -> RedirectResponse:
    served.comparisons.cancel(job_id)
    return RedirectResponse(f"/compare/{job_id}", _SEE_OTHER)


async def _page(
    request: Request,
    served: Served,
    *,
    refused: WinnowError | None = None,
    typed: Mapping[str, str] | None = None,
    specs: Sequence[str] = (),
) -> HTMLResponse:
    # a replay takes over what it shares with its original, so that its times say nothing
    stats = await in_thread(lambda: served.pipeline.log.stats(AnswerFilter(replays=False)))
    problem = served.problems.of(refused) if refused else None
    logged = [row.rerank for row in stats[:_FROM_LOG]]
    return render(
        request,
        "compare.html",
        status=problem["status"] if problem else 200,
        stats=stats,
        specs=offered(served.pipeline.settings, served.policy, logged),
        jobs=served.comparisons.all(),
        problem=problem,
        typed=typed or {"last": str(_USUAL)},
        chosen=specs or logged[:2],
        filter=LogFilter.of(typed or {}),
        most=MOST_ANSWERS,
    )


def _comparison(served: Served, typed: Mapping[str, str], specs: Sequence[str]) -> Comparison:
    """The job that a form describes. Raises BadInputError, NotAllowedError, SpecError, LogError."""
    if not 1 <= len(specs) <= MOST_SPECS:
        raise BadInputError(
            f"{len(specs)} rerank specs are chosen", way_out=f"Choose one to {MOST_SPECS} of them."
        )
    for spec in specs:
        served.policy.check_rerank(spec)
    meant = LogFilter.of(typed)
    last = typed.get("last", "")
    if meant.wrong or not (last.isascii() and last.isdecimal() and 1 <= int(last[:9]) <= MOST_ANSWERS):
        raise BadInputError(
            f"the field {meant.wrong or 'last'!r} cannot be used",
            way_out=f"Compare over 1 to {MOST_ANSWERS} answers.",
        )
    if not served.pipeline.log.list(1, _originals(meant.where)):
        raise BadInputError(
            "no logged answer is meant, so there is nothing to compare",
            way_out="Ask something first, or take words and filters away.",
        )
    return Comparison(specs=tuple(specs), last=int(last), where=meant.where)


def _originals(where: AnswerFilter) -> AnswerFilter:
    return replace(where, replays=False)


def _specs(form: FormData) -> list[str]:
    """The specs that are ticked, and those that were typed, one a line; each once."""
    ticked = [value for value in form.getlist("spec") if isinstance(value, str)]
    typed = form.get("others")
    lines = typed.splitlines() if isinstance(typed, str) else []
    return [*dict.fromkeys(spec.strip() for spec in (*ticked, *lines) if spec.strip())]


def _texts(form: FormData) -> dict[str, str]:
    return {name: value.strip() for name, value in form.multi_items() if isinstance(value, str)}
