"""Uploads by form, and the page of an ingest job, which tells how far it is while it goes on."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from winnow.server.api.ingesting import submitted
from winnow.server.pages.rendering import fragment, render
from winnow.server.pages.views.runs import job_view
from winnow.server.served import State

router = APIRouter(include_in_schema=False)


@router.post("/collections")
async def upload(request: Request, served: State) -> RedirectResponse:
    """What `POST /v1/ingest` does, for a form without JavaScript."""
    job = await submitted(request, served)
    return RedirectResponse(f"/collections/{quote(job.collection, safe='')}/jobs/{job.id}", status_code=303)


@router.get("/collections/{name}/jobs/{job_id}")
async def job(
    request: Request,
    served: State,
    name: Annotated[str, Path(max_length=100)],  # noqa: ARG001 - the job knows its collection
    job_id: Annotated[str, Path(max_length=64)],
    part: bool = False,
) -> Response:
    """The job as it stands; `part`: without the frame of a page, for a script of ours."""
    view = job_view(served.jobs.get(job_id))
    if part:
        return HTMLResponse(fragment(request, "_job.html", view=view))
    return render(request, "job.html", view=view)
