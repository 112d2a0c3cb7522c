"""Heapsort for expensive comparisons: the best k of n with as few "which is best?" questions as possible."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from statistics import fmean

import anyio

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


def expected_calls(n: int, k: int, arity: int) -> int:
    """The mean number of calls of `best` for shuffled numbers and a `k` well below `n`.

    Building the heap takes 1 + 1.45 / arity calls per inner node (fitted to simulations); after each of the
    first k - 1 winners a leaf sinks from the root back to the bottom, with one call per level.
    """
    if n < 2:
        return 0
    inner = math.ceil((n - 1) / arity)
    depth = fmean(int(math.log(leaf * (arity - 1) + 1, arity)) for leaf in range(inner, n))
    return round(inner * (1 + 1.45 / arity) + (k - 1) * depth)
