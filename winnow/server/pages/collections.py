"""`/collections` and everything below: collections, documents, uploads, the pages of ingest jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from storage.manifest.manifest import DocumentFilter
from winnow.server.api import ingesting
from winnow.server.api.collections import DocumentId, taken_out
from winnow.server.api.ingesting import MOST_FILES, submitted
from winnow.server.pages.rendering import fragment, render
from winnow.server.pages.views import documents
from winnow.server.pages.views.collections import every_collection, one_collection
from winnow.server.pages.views.runs import last_run, run_view
from winnow.server.shared_state import Seen, Served, State, in_thread

router = APIRouter(include_in_schema=False)
# Its own router, because uploads may be larger than other requests.
upload_router = APIRouter(include_in_schema=False)

Name = Annotated[str, Path(max_length=100)]
Page = Annotated[int, Query(ge=1, le=1_000_000)]
Filter = Literal["", "ingested", "refused", "duplicate", "warned"]


class PassageLink(BaseModel):
    """The target of a link to a document: a passage and a span of characters in it."""

    page: int = Field(default=1, ge=1, le=1_000_000)
    passage: str = Field(default="", max_length=100)
    start: int | None = Field(default=None, alias="from", ge=0, le=1 << 40)
    end: int | None = Field(default=None, alias="to", ge=0, le=1 << 40)

    @property
    def wanted(self) -> documents.Wanted:
        """The passage and the span."""
        span = (self.start, self.end) if self.start is not None and self.end is not None else None
        return documents.Wanted(self.passage, span)


@router.get("/collections")
async def page(request: Request, served: State, seen: Seen) -> HTMLResponse:
    return render(
        request,
        "collections.html",
        collections=await in_thread(lambda: every_collection(served, seen)),
        into=seen.default,
        fixed=False,
        limits=_upload_limits(served),
        jobs=[job for job in ingesting.jobs(served, seen) if not job.ended],
    )


@router.get("/collections/{name}")
async def one(
    request: Request,
    served: State,
    seen: Seen,
    name: Name,
    text: Annotated[str, Query(max_length=1_000)] = "",
    show: Filter = "",
    page: Page = 1,
    deleted: Annotated[str, Query(max_length=10)] = "",
) -> HTMLResponse:
    warned = show == "warned"
    where = DocumentFilter(text, None if warned or not show else show, warned)

    def made() -> HTMLResponse:
        collection = one_collection(served, seen, name)
        return render(
            request,
            "collection.html",
            collection=collection,
            listed=documents.listed(seen, collection.name, where, page),
            text=text,
            show=show,
            run=last_run(seen.last_run(collection.name)),
            into=collection.name,
            fixed=True,
            limits=_upload_limits(served),
            deleted=bool(deleted),
            jobs=[
                job
                for job in ingesting.jobs(served, seen)
                if job.collection == collection.name and not job.ended
            ],
        )

    return await in_thread(made)


@router.get("/collections/{name}/documents/{document_id}")
async def document(
    request: Request,
    served: State,
    seen: Seen,
    name: Name,
    document_id: DocumentId,
    link: Annotated[PassageLink, Query()],
) -> HTMLResponse:
    """Show a document with its passages; or one of these with its neighbours, where a link names it."""
    view = await in_thread(lambda: documents.read(served, seen, name, document_id, link.page, link.wanted))
    return render(request, "document.html", name=name, document=view)


@router.get("/collections/{name}/documents/{document_id}/page.png")
async def picture(
    request: Request,
    served: State,
    seen: Seen,
    name: Name,
    document_id: DocumentId,
    link: Annotated[PassageLink, Query()],
) -> Response:
    """Send the page of a passage as a picture, the span marked; one is drawn at a time."""
    drawn = await served.work(
        request,
        lambda: in_thread(lambda: documents.picture_of(seen, name, document_id, link.wanted)),
        served.drawing,
    )
    return Response(drawn, media_type="image/png")


@router.get("/collections/{name}/documents/{document_id}/delete")
async def confirm(
    request: Request, served: State, seen: Seen, name: Name, document_id: DocumentId
) -> HTMLResponse:
    """Ask before a deletion."""
    view = await in_thread(lambda: documents.read(served, seen, name, document_id))
    return render(request, "delete.html", name=name, document=view)


@router.post("/collections/{name}/documents/{document_id}/delete")
async def delete(served: State, seen: Seen, name: Name, document_id: DocumentId) -> RedirectResponse:
    """Delete a document for good."""

    def gone() -> str:
        taken_out(served, seen, existing := seen.existing(name), document_id)
        return existing

    existing = await in_thread(gone)
    return RedirectResponse(f"/collections/{quote(existing, safe='')}?deleted=1", status_code=303)


@upload_router.post("/collections")
async def upload(request: Request, served: State, seen: Seen) -> RedirectResponse:
    """Do what `POST /v1/ingest` does, for a form without JavaScript."""
    job = await submitted(request, served, seen)
    return RedirectResponse(f"/collections/{quote(job.collection, safe='')}/jobs/{job.id}", status_code=303)


@router.get("/collections/{name}/jobs/{job_id}")
async def job(
    request: Request,
    served: State,
    seen: Seen,
    name: Name,  # noqa: ARG001 - the job knows its collection
    job_id: Annotated[str, Path(max_length=64)],
    part: bool = False,
) -> Response:
    """Show the state of an ingest job; `part`: without the frame of a page, for the page's script."""
    job = ingesting.one_job(served, seen, job_id)
    run = job.report and run_view(job.report)
    if part:
        return HTMLResponse(fragment(request, "_job.html", job=job, run=run))
    return render(request, "job.html", job=job, run=run)


def _upload_limits(served: Served) -> Mapping[str, Any]:
    """Return the upload form's limits: files and bytes at once, and the suffixes that ingestion knows."""
    from ingest.loaders import FORMATS

    return {"files": MOST_FILES, "bytes": served.settings.upload_bytes, "suffixes": sorted(FORMATS)}
