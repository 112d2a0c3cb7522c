"""Back-pressure: limits on requests at once, waiting, and per minute; refusals say when to try again."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rerank.cross.queued import Queued
from winnow.server.errors import BusyError

# Weight of a new duration in the running mean.
_WEIGHT = 0.2
_MOST_CLIENTS = 10_000


class Gate:
    """Lets at most `places` in, while at most `queue` wait. One event loop only.

    `queued` counts those that wait, for whoever can do less for each.
    """

    def __init__(self, places: int, queue: int, *, queued: Queued | None = None) -> None:
        self._places = places
        self._queue = queue
        self._free = asyncio.Semaphore(places)
        self._queued = queued or Queued()
        self._mean_s = 1.0
        self.inside = 0
        self.waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises BusyError at once where the queue is full."""
        if self._free.locked() and self.waiting >= self._queue:
            raise BusyError(
                f"{self.inside} requests like this are in progress and {self.waiting} are waiting",
                retry_after=self.retry_after(),
                way_out="Try again after the seconds in Retry-After.",
            )
        self.waiting += 1
        self._queued.change(1)
        try:
            await self._free.acquire()
        finally:
            self._queued.change(-1)
            self.waiting -= 1
        self.inside += 1
        started = time.monotonic()
        try:
            yield
        finally:
            self.inside -= 1
            self._mean_s += _WEIGHT * (time.monotonic() - started - self._mean_s)
            self._free.release()

    def retry_after(self) -> int:
        """Return the seconds until half of those waiting now will have been served, at least 1."""
        return max(1, math.ceil(self._mean_s * (self.waiting + self._places) / (2 * self._places)))


class Rate:
    """A token bucket for each client: `per_minute` requests in the long run, as many at once."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Count a request of a client. Raises BusyError where it has none left."""
        now = time.monotonic()
        left, then = self._left.pop(client, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - then) * self._per_minute / 60)
        self._left[client] = (max(0.0, left - 1), now) if left >= 1 else (left, now)
        while len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        if left < 1:
            raise BusyError(
                f"more than {self._per_minute} requests per minute",
                retry_after=max(1, math.ceil((1 - left) * 60 / self._per_minute)),
                way_out="Ask more slowly, or raise server.per_minute.",
            )
