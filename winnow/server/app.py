"""The application: one pipeline, its routes, and the middleware in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from rerank.cross.queued import QUESTIONS
from storage.errors import LogError
from winnow.server.api import answers, asking, collections, health, ingesting, openai_face, rerank_face
from winnow.server.api.comparisons import Comparisons
from winnow.server.documented import with_problems
from winnow.server.errors import Problems
from winnow.server.limits import Gate, Rate
from winnow.server.metrics import Metrics, RequestMetrics
from winnow.server.pages.rendering import problem_page
from winnow.server.pages.routes import ROUTERS, UPLOADS
from winnow.server.policy import Policy
from winnow.server.security import Access, Guard
from winnow.server.shared_state import Served, in_thread
from winnow.server.tokens import TokenBook
from winnow.server.upload_jobs import Jobs
from winnow.server.uploads import UploadArea
from winnow.server.warm_up import WarmUp
from winnow.version import __version__

if TYPE_CHECKING:
    from winnow.pipeline import RAGPipeline

_ABOUT = (
    "Retrieve 50, keep the best 5, answer with citations, log every rank, replay any answer. "
    "Errors are problem details (RFC 9457)."
)


def served_by(pipeline: RAGPipeline, access: Access) -> Served:
    """Return what the routes share. Raises SpecError."""
    chosen = pipeline.settings.server
    gate = Gate(chosen.concurrency, chosen.queue, queued=QUESTIONS)
    problems = Problems(pipeline.settings.secrets(), problem_page)
    area = UploadArea(pipeline.settings.uploads_dir)
    return Served(
        pipeline=pipeline,
        settings=chosen,
        gate=gate,
        drawing=Gate(1, chosen.queue),  # each may take a gigabyte
        problems=problems,
        policy=Policy(pipeline.settings),
        metrics=Metrics(gate),
        warm_up=WarmUp(pipeline),
        area=area,
        jobs=Jobs(pipeline, area, problems),
        comparisons=Comparisons(problems),
        sessions=access.sessions,
    )


def create_app(pipeline: RAGPipeline, *, for_agents: bool = False) -> FastAPI:
    """Build the HTTP API over a pipeline, which the caller closes. Raises SpecError.

    The pipeline is warmed up when the application starts; earlier questions wait for it. `for_agents` adds
    the Model Context Protocol at `/mcp` (extra `[mcp]`).
    """
    chosen = pipeline.settings.server
    access = Access.of(chosen.host, chosen.names, TokenBook(pipeline.settings.tokens_file))
    served = served_by(pipeline, access)
    app = _Documented(
        title="winnow",
        version=__version__,
        description=_ABOUT,
        lifespan=_lifespan,
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
    )
    app.state.served = served
    # limits belong to the routes, so that Guard is outside them and reports a large body like any problem
    parts = (asking, collections, answers, openai_face, rerank_face, health)
    for router in (*(part.router for part in parts), *ROUTERS):
        app.include_router(router, max_body_size=chosen.body_bytes)
    for router in (ingesting.router, UPLOADS):
        app.include_router(router, max_body_size=chosen.upload_bytes)
    app.state.agents = None
    if for_agents:
        from winnow.server.mcp import doors

        app.state.agents = doors.agent_server(served)
        app.router.routes.extend(doors.http_routes(app.state.agents, chosen.body_bytes))
    served.problems.install(app)
    app.add_middleware(Guard, access=access, rate=Rate(chosen.per_minute), problems=served.problems)
    app.add_middleware(RequestMetrics, metrics=served.metrics)  # outermost: counts refusals, too
    return app


class _Documented(FastAPI):
    """FastAPI with an OpenAPI document that describes the errors as they are sent."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = with_problems(super().openapi())
        return self.openapi_schema


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    served: Served = app.state.served
    with suppress(LogError):  # the first answer says of the database what is wrong
        await in_thread(served.jobs.resume)
    warming = asyncio.create_task(in_thread(served.warm_up.run))
    try:
        async with AsyncExitStack() as running:
            if app.state.agents is not None:
                await running.enter_async_context(app.state.agents.session_manager.run())
            yield
    finally:
        await in_thread(served.comparisons.finish)
        await asyncio.wait({warming})
