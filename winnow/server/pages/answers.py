"""`/answers`: the log, searched. `/answers/{id}`: one answer in full, judged, replayed, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData

from rerank.registry import STRATEGIES
from storage.errors import BadInputError, NotFoundError, WinnowError
from winnow.server.api.answers import Id, replayed
from winnow.server.api.schemas import FeedbackRequest, ReplayRequest
from winnow.server.pages.rendering import render
from winnow.server.pages.views import answer, log_page, side_by_side
from winnow.server.pages.views.log_filter import LogFilter
from winnow.server.pages.views.question import complaints
from winnow.server.pages.views.specs import offered
from winnow.server.served import Served, State, in_thread

router = APIRouter(include_in_schema=False)

_SEE_OTHER = 303
_MOST_FIELDS = 1_100  # a grade a candidate, and a few more
_VERDICTS: Mapping[object, bool] = {"good": True, "bad": False}
_GRADE = "grade-"
M = TypeVar("M", bound=BaseModel)


@router.get("/answers")
async def page(
    request: Request, served: State, page: Annotated[int, Query(ge=1, le=1_000_000)] = 1
) -> HTMLResponse:
    chosen = LogFilter.of(request.query_params)
    shown = await in_thread(lambda: log_page.read(served, chosen, page))
    return render(
        request,
        "answers.html",
        status=400 if chosen.wrong else 200,
        shown=shown,
        filter=chosen,
        strategies=STRATEGIES,
    )


@router.get("/answers/{answer_id}")
async def one(request: Request, answer_id: Id, served: State) -> HTMLResponse:
    return await _answer(request, served, answer_id)


@router.get("/answers/{answer_id}/beside")
async def beside(request: Request, answer_id: Id, served: State) -> HTMLResponse:
    shown = await in_thread(lambda: side_by_side.read(served.pipeline.log, answer_id))
    return render(request, "beside.html", shown=shown, complaints=complaints)


@router.get("/answers/{answer_id}/replay")
@router.get("/answers/{answer_id}/feedback")
async def again(request: Request, answer_id: Id) -> RedirectResponse:
    """Where a browser lands that opens a form's own address, as the language's link does after a refusal."""
    return RedirectResponse(f"/answers/{quote(answer_id, safe='')}?{request.query_params}", _SEE_OTHER)


@router.post("/answers/{answer_id}/replay")
async def replay(request: Request, answer_id: Id, served: State) -> Response:
    form = await request.form(max_files=0, max_fields=_MOST_FIELDS)
    try:
        done = await replayed(served, request, answer_id, _replay(form))
    except NotFoundError:
        raise
    except WinnowError as error:
        return await _answer(request, served, answer_id, refused=error, about="replay", typed=_texts(form))
    return RedirectResponse(f"/answers/{done.answer.id}/beside", _SEE_OTHER)


@router.post("/answers/{answer_id}/feedback")
async def feedback(request: Request, answer_id: Id, served: State) -> Response:
    form = await request.form(max_files=0, max_fields=_MOST_FIELDS)
    try:
        await in_thread(lambda: _note(served, answer_id, form))
    except NotFoundError:
        raise
    except BadInputError as error:
        return await _answer(request, served, answer_id, refused=error, about="feedback", typed=_texts(form))
    return RedirectResponse(f"/answers/{quote(answer_id, safe='')}#feedback", _SEE_OTHER)


async def _answer(
    request: Request,
    served: Served,
    answer_id: str,
    *,
    refused: WinnowError | None = None,
    about: str = "",
    typed: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """The page of one answer; with what was `refused` of a form, where the form stands (`about`)."""
    shown = await in_thread(lambda: answer.read(served.pipeline.log, answer_id))
    problem = served.problems.of(refused) if refused else None
    return render(
        request,
        "answer.html",
        status=problem["status"] if problem else 200,
        shown=shown,
        specs=offered(served.pipeline.settings, served.policy, [shown.answer.rerank]),
        complaints=complaints,
        problem=problem,
        about=about,
        typed=typed or {},
    )


def _replay(form: FormData) -> ReplayRequest:
    """What the form asks for. Raises BadInputError."""
    given = {name: value for name, value in _texts(form).items() if value}
    spec = given.pop("other", None) or given.get("rerank")
    return _checked(ReplayRequest, {**given, "rerank": spec})


def _note(served: Served, answer_id: str, form: FormData) -> None:
    """Note the feedback that a form holds; grades that stay as they were are none. Raises BadInputError."""
    log, texts = served.pipeline.log, _texts(form)
    grades = {name.removeprefix(_GRADE): value for name, value in texts.items() if name.startswith(_GRADE)}
    given = _checked(
        FeedbackRequest,
        {
            "good": _VERDICTS.get(texts.get("good")),
            "note": texts.get("note", ""),
            "grades": {number: grade for number, grade in grades.items() if grade},
        },
    )
    before = log.feedback_of(answer_id).grades
    changed = {number: grade for number, grade in given.grades.items() if before.get(number) != grade}
    if changed or given.good is not None or given.note or not given.grades:
        log.feedback(answer_id, good=given.good, note=given.note, grades=changed)


def _checked(form: type[M], given: Mapping[str, Any]) -> M:
    """What was given, checked as the API checks it. Raises BadInputError."""
    try:
        return form.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInputError(f"{first['loc'][0]}: {first['msg']}") from error


def _texts(form: FormData) -> dict[str, str]:
    return {name: value.strip() for name, value in form.multi_items() if isinstance(value, str)}
