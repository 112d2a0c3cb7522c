"""One event loop for the whole process, in a thread of its own.

`ask` and `aask` both hop there, so that scripts, notebooks and servers behave alike and no pooled client
outlives its loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

T = TypeVar("T")

_starting = threading.Lock()
_portals: dict[int, BlockingPortal] = {}


def call(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run an async function in the portal's loop and wait for its result.

    Ctrl-C cancels it there, so that no call goes on behind the prompt.
    """
    future = _submit(function, *args)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def acall(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """The same from a coroutine of any asyncio loop; cancelling the caller cancels the work."""
    return await asyncio.wrap_future(_submit(function, *args))


def _submit(function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]:
    return _portal().start_task_soon(function, *args)


def _portal() -> BlockingPortal:
    process = os.getpid()  # a forked child has our memory, but not our threads
    with _starting:
        if process not in _portals:
            _portals[process] = _start()
        return _portals[process]


def _start() -> BlockingPortal:
    started: Future[BlockingPortal] = Future()
    threading.Thread(target=anyio.run, args=(_serve, started), name="winnow-portal", daemon=True).start()
    portal = started.result()
    # Worker threads of the loop are joined when the interpreter ends; they end only when the loop does. So
    # this thread outlives the main one just long enough to end the loop.
    threading.Thread(target=_stop_after_main, args=(portal,), name="winnow-portal-end").start()
    return portal


async def _serve(started: Future[BlockingPortal]) -> None:
    async with BlockingPortal() as portal:
        started.set_result(portal)
        await portal.sleep_until_stopped()


def _stop_after_main(portal: BlockingPortal) -> None:
    threading.main_thread().join()
    portal.call(portal.stop, True)
