"""`/v1/ingest`: takes files and starts a job, whose progress can be read."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.datastructures import UploadFile

from storage.errors import BadInputError
from storage.qdrant.contract import checked_name
from winnow.server import upload_jobs
from winnow.server.api.schemas import IngestJob, IngestJobs
from winnow.server.documented import READING
from winnow.server.shared_state import Seen, Served, State, in_thread
from winnow.server.uploads import Upload
from winnow.server.visible import Visible

router = APIRouter(tags=["ingest"], responses=READING)

MOST_FILES = 100
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "maxItems": MOST_FILES,
                        },
                        "collection": {"type": "string", "maxLength": 100},
                    },
                }
            }
        },
    }
}


@router.post("/v1/ingest", response_model=IngestJob, status_code=202, openapi_extra=_FORM)
async def ingest(request: Request, response: Response, served: State, seen: Seen) -> Any:
    """Upload files (`file`, several times) into a collection, which is created if it does not exist.

    The reply is a job; its address is in `Location`. It is in the database by then: a server that ends
    before the job is done goes on with it when it starts again. A file of the same name takes the place of
    an earlier upload. Archives are not unpacked: a ZIP is refused in the job's report.
    """
    job = await submitted(request, served, seen)
    response.headers["location"] = f"/v1/ingest/{job.id}"
    return job.to_json()


async def submitted(request: Request, served: Served, seen: Visible) -> upload_jobs.UploadJob:
    """Start the job of a form with files. Raises BadInputError, NotAllowedError, BusyError, StoreError."""
    served.jobs.check_room()  # before anything is read
    async with request.form(max_files=MOST_FILES, max_fields=4, max_part_size=1_024) as form:
        given = form.get("collection")
        collection = checked_name(given if isinstance(given, str) and given else seen.default)
        seen.check_may_write(collection)
        files = [part for part in form.getlist("file") if isinstance(part, UploadFile)]
        if not files:
            raise BadInputError("there is no file", way_out="Send a multipart form with parts called 'file'.")
        uploads = [Upload(part.filename or "", part.file) for part in files]
        paths = await in_thread(lambda: served.area.keep(collection, uploads))
    job = upload_jobs.UploadJob(collection=collection, paths=tuple(paths))
    return await in_thread(lambda: served.jobs.accept(job))


@router.get("/v1/ingest", response_model=IngestJobs)
async def all_jobs(served: State, seen: Seen) -> Any:
    """The ingest jobs since the server began, newest first."""
    return {"jobs": [job.to_json() for job in jobs(served, seen)]}


@router.get("/v1/ingest/{job_id}", response_model=IngestJob)
async def job(job_id: Annotated[str, Path(max_length=64)], served: State, seen: Seen) -> Any:
    """One job: how far it is, or its report."""
    return one_job(served, seen, job_id).to_json()


def jobs(served: Served, seen: Visible) -> list[upload_jobs.UploadJob]:
    """Return the jobs that may be seen, newest first; they name files, so all or none of a collection's."""
    if seen.rights.where is not None:
        return []
    there = seen.rights.collections
    return [job for job in served.jobs.all() if there is None or job.collection in there]


def one_job(served: Served, seen: Visible, job_id: str) -> upload_jobs.UploadJob:
    """Return a job that may be seen. Raises NotFoundError."""
    known = {job.id for job in jobs(served, seen)}
    return served.jobs.get(job_id) if job_id in known else served.jobs.unknown(job_id)
