"""`/`: a question and what became of it; `/ask` answers, whole or while it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from storage.records import Answer
from winnow.server.api.asking import asked_by, failed, to_json
from winnow.server.pages.rendering import clean, fragment, render
from winnow.server.pages.views import question as asked
from winnow.server.served import Served, State, in_thread
from winnow.server.work import event

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Query(max_length=20_000)]
Short = Annotated[str, Query(max_length=2_000)]
_FIELDS = 20


@router.get("/")
async def page(
    request: Request,
    served: State,
    answer: Annotated[str, Query(max_length=64, description="A logged answer to show.")] = "",
    question: Text = "",
    collection: Short = "",
    rerank: Short = "",
) -> HTMLResponse:
    """The form, filled in as the query says, and a logged answer below it where one is named."""

    def made() -> HTMLResponse:
        shown = asked.from_log(served, answer) if answer else None
        chosen = collection or (shown.answer.collection if shown else None)
        return _page(
            request, served, shown, chosen, question, rerank or (shown.answer.rerank if shown else "")
        )

    return await in_thread(made)


@router.get("/ask")
async def again() -> RedirectResponse:
    """Where a browser lands that opens the form's own address."""
    return RedirectResponse("/", status_code=303)


@router.post("/ask")
async def ask(request: Request, served: State) -> Response:
    """Answer the form's question: as events for the page's script, as a page for a browser without one.

    The events are `piece` (text while it comes), then `answer` (its HTML and its address) or `error` (a
    problem). Closing the connection cancels the work.
    """
    async with request.form(max_files=0, max_fields=_FIELDS) as form:
        wanted = asked.request_of(form)
    pipeline, question = served.pipeline, asked_by(wanted, served)
    if "text/event-stream" in request.headers.get("accept", ""):
        return await served.stream(
            request,
            pipeline.astream(question),
            lambda joined: _events(joined, served, request),
            lambda error: failed(error, served),
        )
    answer = await served.work(request, lambda: pipeline.aask(question))
    served.metrics.answered(answer)

    def made() -> Response:
        shown = _shown(served, answer)
        if shown.logged:
            return RedirectResponse(_address(shown), status_code=303)
        return _page(request, served, shown, wanted.collection, wanted.question, wanted.rerank or "")

    return await in_thread(made)


async def _events(
    items: AsyncGenerator[str | Answer], served: Served, request: Request
) -> AsyncGenerator[str]:
    async for item in items:
        if isinstance(item, str):
            yield event("piece", to_json({"text": clean(item)}))
        else:
            served.metrics.answered(item)
            yield event("answer", await in_thread(partial(_told, request, served, item)))


def _told(request: Request, served: Served, answer: Answer) -> str:
    shown = _shown(served, answer)
    html = fragment(request, "_result.html", shown=shown)
    return to_json({"html": html, "address": _address(shown)})


def _page(
    request: Request,
    served: Served,
    shown: asked.Shown | None,
    collection: str | None,
    question: str,
    rerank: str,
) -> HTMLResponse:
    choices = asked.choices(served, collection)
    return render(request, "ask.html", choices=choices, question=question, rerank=rerank, shown=shown)


def _shown(served: Served, answer: Answer) -> asked.Shown:
    return asked.shown(answer, logged=asked.is_logged(served, answer))


def _address(shown: asked.Shown) -> str:
    return f"/?answer={quote(shown.answer.id, safe='')}" if shown.logged else ""
