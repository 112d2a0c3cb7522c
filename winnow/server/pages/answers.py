"""`/answers`: the log, searched. `/answers/{id}`: one answer, judged, replayed, compared with its replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from rerank.registry import STRATEGIES
from storage.errors import BadInputError, NotFoundError, WinnowError
from winnow.log import Log
from winnow.server.api.answers import Id, replayed
from winnow.server.api.schemas import FeedbackRequest, ReplayRequest
from winnow.server.pages.forms import checked, texts
from winnow.server.pages.rendering import render
from winnow.server.pages.views import side_by_side
from winnow.server.pages.views.answer import AnswerView
from winnow.server.pages.views.log_filter import LogFilter
from winnow.server.pages.views.movement import ranking_stages
from winnow.server.pages.views.paging import Paging
from winnow.server.pages.views.passages import candidates_of
from winnow.server.pages.views.specs import offered
from winnow.server.shared_state import Seen, Served, State, in_thread
from winnow.server.visible import Visible

router = APIRouter(include_in_schema=False)

PER_PAGE = 25
_SEE_OTHER = 303
_MAX_FIELDS = 1_100  # a grade for each candidate, and a few more
_VERDICTS: Mapping[object, bool] = {"good": True, "bad": False}
_GRADE = "grade-"


@router.get("/answers")
async def page(
    request: Request, served: State, seen: Seen, page: Annotated[int, Query(ge=1, le=1_000_000)] = 1
) -> HTMLResponse:
    chosen = LogFilter.of(request.query_params)

    def made() -> HTMLResponse:
        log = None if chosen.wrong else seen.log
        paging = Paging(log.count(chosen.where) if log else 0, PER_PAGE, page)
        found = log.list(PER_PAGE, chosen.where, offset=paging.offset) if log else ()
        return render(
            request,
            "answers.html",
            status=400 if chosen.wrong else 200,
            answers=found,
            paging=paging,
            logging=served.pipeline.settings.logging,
            filter=chosen,
            strategies=STRATEGIES,
            collections=sorted({one.collection for one in found}),
        )

    return await in_thread(made)


@router.get("/answers/{answer_id}")
async def one(request: Request, answer_id: Id, served: State, seen: Seen) -> HTMLResponse:
    return await _answer(request, served, seen, answer_id)


@router.get("/answers/{answer_id}/beside")
async def beside(request: Request, answer_id: Id, seen: Seen) -> HTMLResponse:
    return await in_thread(
        lambda: render(request, "beside.html", shown=side_by_side.read(seen.log, answer_id))
    )


@router.get("/answers/{answer_id}/replay")
@router.get("/answers/{answer_id}/feedback")
async def again(request: Request, answer_id: Id) -> RedirectResponse:
    """Redirect a browser that opens a form's own address, as the language link does after a refusal."""
    return RedirectResponse(f"/answers/{quote(answer_id, safe='')}?{request.query_params}", _SEE_OTHER)


@router.post("/answers/{answer_id}/replay")
async def replay(request: Request, answer_id: Id, served: State, seen: Seen) -> Response:
    typed = texts(await request.form(max_files=0, max_fields=_MAX_FIELDS))
    try:
        done = await replayed(served, seen, request, answer_id, _replay(typed))
    except NotFoundError:
        raise
    except WinnowError as error:
        return await _answer(request, served, seen, answer_id, refused=error, about="replay", typed=typed)
    return RedirectResponse(f"/answers/{done.answer.id}/beside", _SEE_OTHER)


@router.post("/answers/{answer_id}/feedback")
async def feedback(request: Request, answer_id: Id, served: State, seen: Seen) -> Response:
    typed = texts(await request.form(max_files=0, max_fields=_MAX_FIELDS))
    try:
        await in_thread(lambda: _save_feedback(seen.log, answer_id, typed))
    except NotFoundError:
        raise
    except BadInputError as error:
        return await _answer(request, served, seen, answer_id, refused=error, about="feedback", typed=typed)
    return RedirectResponse(f"/answers/{quote(answer_id, safe='')}#feedback", _SEE_OTHER)


async def _answer(
    request: Request,
    served: Served,
    seen: Visible,
    answer_id: str,
    *,
    refused: WinnowError | None = None,
    about: str = "",
    typed: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Render an answer; what was `refused` of a form is shown at the form (`about`)."""
    problem = served.problems.of(refused) if refused else None

    def made() -> HTMLResponse:
        log = seen.log
        answer = log.get(answer_id)
        return render(
            request,
            "answer.html",
            status=problem["status"] if problem else 200,
            shown=AnswerView(answer),
            columns=ranking_stages(answer),
            rows=candidates_of(answer),
            judged=log.feedback_of(answer.id),
            replay_of=log.summary(answer.id).replay_of,
            replays=log.replays(answer.id),
            specs=offered(served.pipeline.settings, served.policy, [answer.rerank]),
            no_answerers=() if served.policy.asks_chat else ("openai",),
            problem=problem,
            about=about,
            typed=typed or {},
        )

    return await in_thread(made)


def _replay(typed: Mapping[str, str]) -> ReplayRequest:
    """Return the replay that a form describes. Raises BadInputError."""
    given = {name: value for name, value in typed.items() if value}
    spec = given.pop("other", None) or given.get("rerank")
    return checked(ReplayRequest, {**given, "rerank": spec})


def _save_feedback(log: Log, answer_id: str, typed: Mapping[str, str]) -> None:
    """Save the feedback of a form, without grades that have not changed. Raises BadInputError."""
    grades = {name.removeprefix(_GRADE): value for name, value in typed.items() if name.startswith(_GRADE)}
    given = checked(
        FeedbackRequest,
        {
            "good": _VERDICTS.get(typed.get("good")),
            "note": typed.get("note", ""),
            "grades": {number: grade for number, grade in grades.items() if grade},
        },
    )
    before = log.feedback_of(answer_id).grades
    changed = {number: grade for number, grade in given.grades.items() if before.get(number) != grade}
    if changed or given.good is not None or given.note or not given.grades:
        log.feedback(answer_id, good=given.good, note=given.note, grades=changed)
