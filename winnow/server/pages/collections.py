"""`/collections` and `/collections/{name}`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from winnow.server.pages.rendering import render

router = APIRouter(include_in_schema=False)


@router.get("/collections")
async def page(request: Request) -> HTMLResponse:
    return render(request, "collections.html")


@router.get("/collections/{name}")
async def one(
    request: Request,
    name: Annotated[str, Path(max_length=100)],  # noqa: ARG001 - the page is to come
) -> HTMLResponse:
    return render(request, "collections.html")
