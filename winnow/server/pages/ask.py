"""`/`: the question form and an answer below it. `/ask` answers a question, at once or as it is written."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from rerank.spec import PRESETS
from storage.errors import WinnowError
from storage.records import Answer
from winnow.server.api.asking import asked_by, failed, to_json
from winnow.server.disconnects import event
from winnow.server.pages.rendering import HEADERS, clean, fragment, render
from winnow.server.pages.views.answer import AnswerView
from winnow.server.pages.views.fields import fields_of
from winnow.server.pages.views.question import asked_with, choices, request_of
from winnow.server.pages.views.threads import thread_of
from winnow.server.shared_state import Seen, Served, State, in_thread
from winnow.server.visible import Visible

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Query(max_length=20_000)]
Short = Annotated[str, Query(max_length=2_000)]
_MAX_FIELDS = 20


@router.get("/")
async def page(
    request: Request,
    served: State,
    seen: Seen,
    answer: Annotated[str, Query(max_length=64, description="A logged answer to show.")] = "",
    question: Text = "",
    collection: Short = "",
    rerank: Short = "",
) -> HTMLResponse:
    """Show the form, filled in from the query, and a logged answer below it where one is named."""

    def made() -> HTMLResponse:
        if not answer:
            return _page(request, served, seen, None, collection or None, question, rerank)
        logged = seen.log.get(answer)
        good = seen.log.feedback_of(logged.id).good
        return _page(
            request,
            served,
            seen,
            logged,
            collection or logged.collection,
            question,
            rerank or logged.rerank,
            logged=True,
            good=good,
        )

    return await in_thread(made)


@router.get("/fields")
async def fields(request: Request, seen: Seen, collection: Short = "") -> HTMLResponse:
    """Send the part of the form that puts a filter together, for its script to insert."""
    return await in_thread(
        lambda: HTMLResponse(
            fragment(request, "_fields.html", fields=fields_of(seen, collection or seen.default)),
            headers=HEADERS,
        )
    )


@router.get("/ask")
async def again() -> RedirectResponse:
    """Redirect a browser that opens the form's own address."""
    return RedirectResponse("/", status_code=303)


@router.post("/ask")
async def ask(request: Request, served: State, seen: Seen) -> Response:
    """Answer the form's question: as events for the page's script, as a page for a browser without one.

    The events are `piece` (text as it is written), then `answer` (its HTML and its address) or `error` (a
    problem). Closing the connection cancels the work.
    """
    async with request.form(max_files=0, max_fields=_MAX_FIELDS) as form:
        wanted = request_of(form)
    question = await in_thread(lambda: asked_by(wanted, served, seen))
    if "text/event-stream" in request.headers.get("accept", ""):
        return await served.stream(
            request,
            seen.stream(question),
            lambda joined: _events(joined, served, seen, request),
            lambda error: failed(error, served),
        )
    answer = await served.work(request, lambda: seen.ask(question))
    served.metrics.answered(answer)

    def made() -> Response:
        if address := _address(seen, answer):
            return RedirectResponse(address, status_code=303)
        return _page(request, served, seen, answer, wanted.collection, wanted.question, wanted.rerank or "")

    return await in_thread(made)


async def _events(
    items: AsyncGenerator[str | Answer], served: Served, seen: Visible, request: Request
) -> AsyncGenerator[str]:
    async for item in items:
        if isinstance(item, str):
            yield event("piece", to_json({"text": clean(item)}))
        else:
            served.metrics.answered(item)
            yield event("answer", await in_thread(partial(_answer_data, request, seen, item)))


def _answer_data(request: Request, seen: Visible, answer: Answer) -> str:
    address = _address(seen, answer)
    html = fragment(
        request,
        "_result.html",
        shown=AnswerView(answer),
        thread=thread_of(seen, answer) if address else None,
        asked_with=asked_with(answer),
        logged=bool(address),
        good=None,
    )
    return to_json({"html": html, "address": address})


def _page(
    request: Request,
    served: Served,
    seen: Visible,
    answer: Answer | None,
    collection: str | None,
    question: str,
    rerank: str,
    *,
    logged: bool = False,
    good: bool | None = None,
) -> HTMLResponse:
    return render(
        request,
        "ask.html",
        choices=choices(served, seen, collection),
        question=question,
        rerank=PRESETS.get(rerank, rerank),
        asked_with=asked_with(answer) if answer else {},
        shown=answer and AnswerView(answer),
        thread=thread_of(seen, answer) if answer and logged else None,
        logged=logged,
        good=good,
    )


def _address(seen: Visible, answer: Answer) -> str:
    """Return the address of an answer's page; empty where it was not logged."""
    try:
        seen.log.summary(answer.id)
    except WinnowError:
        return ""
    return f"/?answer={quote(answer.id, safe='')}"
