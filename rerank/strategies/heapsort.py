"""Heapsort for expensive comparisons: the best k of n, asking "which is best?" as rarely as it can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio.from_thread import start_blocking_portal

Best = Callable[[tuple[int, ...]], Awaitable[int]]


async def best_first(n: int, k: int, arity: int, best: Best) -> list[int]:
    """The numbers 0 to n-1: the best `k` in order, then the others in their own order.

    `best` names the best of 2 to `arity` + 1 numbers. Subtrees are built concurrently.
    """
    heap = list(range(n))
    for level in reversed(_levels(n, arity)):
        async with anyio.create_task_group() as tasks:
            for node in level:
                tasks.start_soon(_sift, heap, node, arity, best)
    found: list[int] = []
    while heap and len(found) < k:
        found.append(heap[0])
        last = heap.pop()
        if heap and len(found) < k:
            heap[0] = last
            await _sift(heap, 0, arity, best)
    taken = set(found)
    return found + [i for i in range(n) if i not in taken]


def _levels(n: int, arity: int) -> list[list[int]]:
    """The inner nodes, level by level from the root."""
    levels, start, width = [], 0, 1
    while start * arity + 1 < n:
        levels.append([node for node in range(start, start + width) if node * arity + 1 < n])
        start, width = start + width, width * arity
    return levels


async def _sift(heap: list[int], node: int, arity: int, best: Best) -> None:
    """Let the number at `node` sink below its betters."""
    while (first := node * arity + 1) < len(heap):
        family = [node, *range(first, min(first + arity, len(heap)))]
        winner = await best(tuple(heap[i] for i in family))
        place = next(i for i in family if heap[i] == winner)
        if place == node:
            return
        heap[node], heap[place] = heap[place], heap[node]
        node = place


def calls_of(n: int, k: int, arity: int) -> int:
    """How often `best` is asked, where the order of arrival says nothing (the mean of three shuffles)."""
    from random import Random

    counts = [0, 0, 0]

    async def count() -> None:
        for seed in range(3):
            worth = Random(seed).sample(range(n), n)

            async def best(numbers: Sequence[int], seed: int = seed, worth: list[int] = worth) -> int:
                counts[seed] += 1
                return max(numbers, key=worth.__getitem__)

            await best_first(n, k, arity, best)

    with start_blocking_portal() as portal:  # a loop of its own: the caller may be on one
        portal.call(count)
    return round(sum(counts) / 3)
