"""Work that is cancelled when the client leaves or the time is up.

Uses asyncio tasks rather than a cancel scope: a cancelled stream of the pipeline ends its work in the
portal's loop and must be able to wait for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from storage.errors import WinnowError
from winnow.server.errors import ClientGoneError, TimedOutError

T = TypeVar("T")


async def watched(receive: Receive, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """Return the result of the work. Raises ClientGoneError or TimedOutError once stopped work has ended.

    The request's body must have been read, so that `receive` next brings the disconnection.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientGoneError("the client closed the connection")
        raise TimedOutError(
            f"no answer within {timeout_s:g} s",
            way_out="Choose a cheaper rerank spec, or raise server.timeout_s.",
        )
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.wait({task, gone})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events. `closing` runs when the stream has ended, however it ended.

    An error after the headers, when the status has been sent, becomes an event made by `failed`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[str],
        *,
        failed: Callable[[WinnowError], str],
        closing: Callable[[], Awaitable[object]],
        timeout_s: float,
    ) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})  # proxies must not buffer events
        del self.headers["content-length"]
        self._events = events
        self._failed = failed
        self._closing = closing
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                await watched(receive, self._send_all(send), self._timeout_s)
            except ClientGoneError:
                return
            except WinnowError as error:
                await _send_event(send, self._failed(error))
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._events.aclose()
            await self._closing()

    async def _send_all(self, send: Send) -> None:
        async for event in self._events:
            await _send_event(send, event)


async def _send_event(send: Send, event: str) -> None:
    body = event.encode("utf-8", "replace")
    await send({"type": "http.response.body", "body": body, "more_body": True})


def event(name: str, data: str) -> str:
    """Format an event; `data` is one line (JSON)."""
    return f"event: {name}\ndata: {data}\n\n"
