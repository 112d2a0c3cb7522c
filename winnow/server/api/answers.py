"""`/v1/answers`: the log, replays, feedback, export."""

from __future__ import annotations

from pathlib import Path as FilePath
from shutil import make_archive
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from winnow.app.json_model.answers import AnswerJson
from winnow.app.json_model.log import FeedbackJson, ReplayJson, SummaryJson
from winnow.app.replay import Replay
from winnow.server.api.schemas import (
    AnswerPage,
    AnswerWithFeedback,
    ExportQuery,
    FeedbackRequest,
    ListQuery,
    ReplayRequest,
)
from winnow.server.documented import ASKING, READING
from winnow.server.shared_state import Seen, Served, State, in_thread
from winnow.server.visible import Visible

router = APIRouter(tags=["log"], responses=READING)

Id = Annotated[str, Path(min_length=1, max_length=64, description="An answer's id, or its beginning.")]
_MEDIA = {"jsonl": "application/jsonl", "csv": "text/csv", "beir": "application/zip"}


@router.get("/v1/answers", response_model=AnswerPage)
async def answers(seen: Seen, query: Annotated[ListQuery, Query()]) -> Any:
    """Logged answers, newest first; searched with `text`, filtered with the others."""

    def read() -> dict[str, Any]:
        log, where = seen.log, query.where()
        page = map(SummaryJson.of, log.list(query.limit, where, offset=query.offset))
        return {"total": log.count(where), "offset": query.offset, "answers": [*page]}

    return await in_thread(read)


@router.get(
    "/v1/answers/export",
    response_class=FileResponse,
    responses={200: {"content": {media: {} for media in _MEDIA.values()}}},
)
async def export(seen: Seen, query: Annotated[ExportQuery, Query()]) -> FileResponse:
    """The answers that match, as a file: JSON lines, CSV, or BEIR (a zip of the judged ones)."""
    form = query.form

    def written() -> tuple[FilePath, TemporaryDirectory[str]]:
        folder = TemporaryDirectory(prefix="winnow-export-")
        target = FilePath(folder.name) / f"answers.{form}"
        try:
            seen.log.export(form, target, query.where())
            if form == "beir":
                target = FilePath(make_archive(str(target), "zip", target))
            return target, folder
        except BaseException:
            folder.cleanup()
            raise

    target, folder = await in_thread(written)
    return FileResponse(
        target, media_type=_MEDIA[form], filename=target.name, background=BackgroundTask(folder.cleanup)
    )


@router.get("/v1/answers/{answer_id}", response_model=AnswerWithFeedback)
async def answer(answer_id: Id, seen: Seen, exchanges: bool = False) -> Any:
    """One answer in full, with feedback and replays; `exchanges`: the calls of chat models that were kept."""

    def read() -> dict[str, Any]:
        log = seen.log
        logged = log.get(answer_id)
        return {
            "answer": AnswerJson.of(logged, exchanges=exchanges),
            "feedback": FeedbackJson.of(log.feedback_of(logged.id)),
            "replay_of": log.summary(logged.id).replay_of,
            "replays": [*map(SummaryJson.of, log.replays(logged.id))],
        }

    return await in_thread(read)


@router.post("/v1/answers/{answer_id}/replay", response_model=ReplayJson, responses=ASKING)
async def replay(answer_id: Id, asked: ReplayRequest, request: Request, served: State, seen: Seen) -> Any:
    """Run a logged answer's own candidates through another chain; logged, linked to its original."""
    return ReplayJson.of(await replayed(served, seen, request, answer_id, asked))


@router.post("/v1/answers/{answer_id}/feedback", response_model=FeedbackJson)
async def feedback(answer_id: Id, given: FeedbackRequest, seen: Seen) -> Any:
    """Note what somebody thinks; the reply is all feedback on the answer."""
    return FeedbackJson.of(await in_thread(lambda: seen.log.feedback(answer_id, **given.model_dump())))


async def replayed(
    served: Served, seen: Visible, request: Request, answer_id: str, asked: ReplayRequest
) -> Replay:
    """Run the replay once there is a place for it. Raises NotAllowedError, SpecError, BusyError …"""
    log = seen.log

    async def run() -> Replay:
        # what the shell may have chosen then is not a request's to choose now
        original = await in_thread(lambda: log.get(answer_id))
        served.policy.check_replay(original, asked.rerank, asked.answerer)
        done = await log.areplay(original.id, asked.rerank, answerer=asked.answerer, top_k=asked.top_k)
        served.metrics.staged(done.answer.stages)
        return done

    return await served.work(request, run)
