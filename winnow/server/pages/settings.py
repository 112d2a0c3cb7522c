"""`/settings`: what is in effect, and how the server is. Nothing here changes anything."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from winnow.server.pages.rendering import render
from winnow.server.pages.views.health import health
from winnow.server.pages.views.in_effect import in_effect
from winnow.server.served import State, in_thread

router = APIRouter(include_in_schema=False)


@router.get("/settings")
async def page(request: Request, served: State) -> HTMLResponse:
    return render(
        request,
        "settings.html",
        health=await in_thread(lambda: health(served)),
        sections=in_effect(served.pipeline.settings, served.problems.shown),
    )
