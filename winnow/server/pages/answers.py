"""`/answers` and `/answers/{id}`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from winnow.server.answers import Id
from winnow.server.pages.rendering import render

router = APIRouter(include_in_schema=False)


@router.get("/answers")
async def page(request: Request) -> HTMLResponse:
    return render(request, "answers.html")


@router.get("/answers/{answer_id}")
async def one(request: Request, answer_id: Id) -> HTMLResponse:  # noqa: ARG001 - the page is to come
    return render(request, "answers.html")
