"""Runs every tool and resource: a place for the work, its time limit, its errors and scopes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from starlette.requests import Request

from storage.errors import NotFoundError, WinnowError
from winnow.app.visibility import EVERYTHING
from winnow.server.errors import NotAllowedError, TimedOutError
from winnow.server.security import may_change, token_of
from winnow.server.shared_state import Served
from winnow.server.visible import Visible

T = TypeVar("T")

# Seconds without a call after which a stdio server lets go of its collections. Another process that wants
# one waits longer than that (`storage.locks`), so a shell and several agents can share a data folder.
_IDLE_S = 1.5


class Desk:
    """Admits the work of agents. With `yielding`, embedded collections are closed while nobody calls."""

    def __init__(self, served: Served, *, yielding: bool = False) -> None:
        self.served = served
        self._yielding = yielding
        self._calls = 0
        self._closing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._closers: set[asyncio.Task[None]] = set()

    async def work(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a call's work when there is a place for it, and wait for its end when the client cancels.

        Raises BusyError, TimedOutError.
        """
        async with self._in_use(), self.served.gate.place():
            return await _within(make(), self.served.settings.timeout_s)

    async def blocking(self, read: Callable[[], T]) -> T:
        """Run blocking work (SQLite, Qdrant Edge, files) in a thread."""
        async with self._in_use():
            return await anyio.to_thread.run_sync(read)

    @contextmanager
    def tool_errors(self) -> Iterator[None]:
        """Turn winnow's errors into a tool's, with the way out and without secrets."""
        try:
            yield
        except WinnowError as error:
            raise ToolError(self.served.problems.sentence(error)) from error

    @contextmanager
    def resource_errors(self) -> Iterator[None]:
        """Turn winnow's errors into a resource's."""
        try:
            yield
        except NotFoundError as error:
            raise ResourceNotFoundError(self.served.problems.sentence(error)) from error
        except WinnowError as error:
            raise ResourceError(self.served.problems.sentence(error)) from error

    def seen(self, context: Context) -> Visible:
        """Return the pipeline as the caller may see it: over HTTP its token decides."""
        return self.seen_by(context.request_context.request)

    def seen_by(self, request: object) -> Visible:
        """Return the pipeline as the sender of a request may see it; whole for the agent at stdin."""
        if isinstance(request, Request):
            return self.served.seen_by(request)
        return Visible(self.served.pipeline, EVERYTHING)

    def check_may_change(self, context: Context) -> None:
        """Raise NotAllowedError where a call came over HTTP with a read-only token, or one that sees a part.

        Files of the server's folders are nobody's in particular: who ingests them could read them all.
        """
        self.seen(context).check_sees_all()
        request = context.request_context.request
        if isinstance(request, Request) and not may_change(request):
            token = token_of(request)
            raise NotAllowedError(
                f"the token {token.id if token else ''} is read-only", way_out="Use one made with --full."
            )

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[None]:
        if self._timer is not None:
            self._timer.cancel()
        self._calls += 1
        try:
            async with self._closing:  # collections that are being closed are opened again after that
                pass
            yield
        finally:
            self._calls -= 1
            if self._yielding and self._calls == 0:
                self._timer = asyncio.get_running_loop().call_later(_IDLE_S, self._close_soon)

    def _close_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._close())
        self._closers.add(task)
        task.add_done_callback(self._closers.discard)

    async def _close(self) -> None:
        async with self._closing:
            if self._calls == 0:
                await anyio.to_thread.run_sync(self.served.pipeline.wiring.collections.close)


async def _within(work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise TimedOutError(
                f"no answer within {timeout_s:g} s",
                way_out="Choose a cheaper rerank spec, or raise server.timeout_s.",
            )
        return task.result()
    finally:
        task.cancel()
        with anyio.CancelScope(shield=True):  # what was stopped has ended before its collection is closed
            await asyncio.wait({task})
