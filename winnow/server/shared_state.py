"""Shared by the routes: the pipeline, and how work for a request is admitted, watched and counted."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

import anyio.to_thread
from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from storage.errors import WinnowError
from winnow.server.disconnects import EventStream, watched
from winnow.server.limits import Gate
from winnow.server.security import visibility_of
from winnow.server.visible import Visible

if TYPE_CHECKING:
    from winnow.app.setting_defaults import ServerSettings
    from winnow.pipeline import RAGPipeline
    from winnow.server.api.comparisons import Comparisons
    from winnow.server.errors import Problems
    from winnow.server.metrics import Metrics
    from winnow.server.policy import Policy
    from winnow.server.sessions import Sessions
    from winnow.server.upload_jobs import Jobs
    from winnow.server.uploads import UploadArea
    from winnow.server.warm_up import WarmUp

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One running server: `gate` is for questions, `drawing` for pages of PDFs.

    `sessions` is None where no tokens are needed.
    """

    pipeline: RAGPipeline
    settings: ServerSettings
    gate: Gate
    drawing: Gate
    problems: Problems
    policy: Policy
    metrics: Metrics
    warm_up: WarmUp
    area: UploadArea
    jobs: Jobs
    comparisons: Comparisons
    sessions: Sessions | None

    def seen_by(self, request: HTTPConnection) -> Visible:
        """Return the pipeline as the client of a request may see it."""
        return Visible(self.pipeline, visibility_of(request))

    async def work(self, request: Request, make: Callable[[], Awaitable[T]], gate: Gate | None = None) -> T:
        """Run the work of a question, or of another gate's requests, when there is a place for it.

        Raises BusyError, TimedOutError, ClientGoneError.
        """

        async def placed() -> T:
            async with (gate or self.gate).place():
                return await make()

        return await watched(request.receive, placed(), self.settings.timeout_s)

    async def stream(
        self,
        request: Request,
        items: AsyncGenerator[T],
        events: Callable[[AsyncGenerator[T]], AsyncGenerator[str]],
        failed: Callable[[WinnowError], str],
    ) -> EventStream:
        """Return a streaming response; `events` turns the items into text.

        Waits for the first item, so that an error before it has its own status.
        """
        until = time.monotonic() + self.settings.timeout_s
        held = AsyncExitStack()

        async def first() -> T:
            await held.enter_async_context(self.gate.place())
            held.push_async_callback(items.aclose)
            return await anext(items)

        try:
            one = await watched(request.receive, first(), self.settings.timeout_s)
        except BaseException:
            await held.aclose()
            raise
        return EventStream(
            events(_joined(one, items)),
            failed=failed,
            closing=held.aclose,
            timeout_s=max(0.0, until - time.monotonic()),
        )


async def _joined(first: T, rest: AsyncGenerator[T]) -> AsyncGenerator[T]:
    yield first
    async for item in rest:
        yield item


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work (SQLite, Qdrant Edge, files) outside the event loop."""
    return await anyio.to_thread.run_sync(work)


def _served(request: Request) -> Served:
    return cast("Served", request.app.state.served)


State = Annotated[Served, Depends(_served)]


def _seen(request: Request) -> Visible:
    return _served(request).seen_by(request)


Seen = Annotated[Visible, Depends(_seen)]
