"""One event loop for the whole process, in its own thread.

`ask` and `aask` both run there, so that scripts, notebooks and servers behave alike and no pooled client
outlives its loop.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from generation.base import closing

T = TypeVar("T")

_starting = threading.Lock()
_portals: dict[int, BlockingPortal] = {}


def call(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run an async function in the portal's loop and wait for its result.

    Ctrl-C cancels it there and waits until it has ended, so that no call continues in the background.
    """
    task = _Task(function, *args)
    try:
        return task.result.result()
    except BaseException:
        task.cancel()
        task.ended.result()
        raise


async def acall(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """`call`, awaited from any asyncio loop: cancelling cancels the work and waits for its end."""
    task = _Task(function, *args)
    try:
        return await asyncio.wrap_future(task.result)
    except BaseException:
        task.cancel()
        await asyncio.wrap_future(task.ended)
        raise


def stream(function: Callable[..., AsyncIterator[T]], *args: Any) -> Generator[T]:
    """Yield the items of an async iterator that runs in the portal's loop, ahead of the reader.

    Leaving early cancels the iterator, and waits until it has ended.
    """
    items: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    task = _Task(_fed, function, args, items.put)
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        task.result.result()  # raises what went wrong
    finally:
        task.cancel()
        task.ended.result()


async def astream(function: Callable[..., AsyncIterator[T]], *args: Any) -> AsyncGenerator[T]:
    """`stream`, for any asyncio loop."""
    items: asyncio.Queue[T | _End] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    task = _Task(_fed, function, args, lambda item: loop.call_soon_threadsafe(items.put_nowait, item))
    try:
        while not isinstance(item := await items.get(), _End):
            yield item
        task.result.result()
    finally:
        task.cancel()
        await asyncio.wrap_future(task.ended)


class _End:
    """Marks the end of a stream."""


async def _fed(
    function: Callable[..., AsyncIterator[T]], args: Sequence[Any], put: Callable[[T | _End], object]
) -> None:
    try:
        async with closing(function(*args)) as items:
            async for item in items:
                put(item)
    finally:
        with suppress(RuntimeError):  # the reader's loop is gone
            put(_End())


class _Task(Generic[T]):
    """Work in the portal's loop. `ended` is done once none of it runs any more, cancelled or not."""

    def __init__(self, function: Callable[..., Awaitable[T]], *args: Any) -> None:
        self.ended: Future[None] = Future()
        self.result: Future[T] = _portal().start_task_soon(self._run, function, args)

    def cancel(self) -> None:
        """Ask it to stop; does nothing once it has ended."""
        self.result.cancel()

    async def _run(self, function: Callable[..., Awaitable[T]], args: Sequence[Any]) -> T:
        try:
            return await function(*args)
        finally:
            self.ended.set_result(None)


def _portal() -> BlockingPortal:
    process = os.getpid()  # a forked child has our memory but not our threads
    with _starting:
        if process not in _portals:
            _portals[process] = _start()
        return _portals[process]


def _start() -> BlockingPortal:
    started: Future[BlockingPortal] = Future()
    threading.Thread(target=anyio.run, args=(_serve, started), name="winnow-portal", daemon=True).start()
    portal = started.result()
    # The interpreter joins the loop's worker threads at exit, and those end only with the loop. So this
    # thread outlives the main one just long enough to end the loop.
    threading.Thread(target=_stop_after_main, args=(portal,), name="winnow-portal-end").start()
    return portal


async def _serve(started: Future[BlockingPortal]) -> None:
    async with BlockingPortal() as portal:
        started.set_result(portal)
        await portal.sleep_until_stopped()


def _stop_after_main(portal: BlockingPortal) -> None:
    threading.main_thread().join()
    portal.call(portal.stop, True)
