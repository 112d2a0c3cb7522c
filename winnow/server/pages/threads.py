"""`/threads`: the conversations of the log, and one of them: named, copied, deleted."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from winnow.server.api.answers import Id
from winnow.server.pages.rendering import render
from winnow.server.pages.views.threads import as_markdown
from winnow.server.shared_state import Seen, in_thread

router = APIRouter(include_in_schema=False)

PER_PAGE = 25
_SEE_OTHER = 303
Name = Annotated[str, Form(max_length=1_000)]


@router.get("/threads")
async def page(
    request: Request, seen: Seen, page: Annotated[int, Query(ge=1, le=1_000_000)] = 1
) -> HTMLResponse:
    def made() -> HTMLResponse:
        found = seen.log.threads(PER_PAGE + 1, offset=(page - 1) * PER_PAGE)
        shown, more = found[:PER_PAGE], len(found) > PER_PAGE
        return render(request, "threads.html", threads=shown, page=page, more=more)

    return await in_thread(made)


@router.get("/threads/{answer_id}/text")
async def text(answer_id: Id, seen: Seen) -> Response:
    """Send a conversation as Markdown."""
    written = await in_thread(lambda: as_markdown(seen, answer_id))
    return Response(written, media_type="text/plain; charset=utf-8")


@router.post("/threads/{answer_id}/name")
async def rename(answer_id: Id, seen: Seen, name: Name = "") -> RedirectResponse:
    await in_thread(lambda: seen.log.rename_thread(answer_id, name))
    return RedirectResponse(f"/?answer={quote(answer_id, safe='')}", _SEE_OTHER)


@router.get("/threads/{answer_id}/delete")
async def confirm(request: Request, answer_id: Id, seen: Seen) -> HTMLResponse:
    """Ask before a deletion."""
    return await in_thread(
        lambda: render(
            request,
            "thread_delete.html",
            thread=seen.log.thread(answer_id),
            answers=seen.log.answers_of_thread(answer_id),
            id=answer_id,
        )
    )


@router.post("/threads/{answer_id}/delete")
async def delete(answer_id: Id, seen: Seen) -> RedirectResponse:
    await in_thread(lambda: seen.log.delete_thread(answer_id))
    return RedirectResponse("/threads", _SEE_OTHER)
