"""Passes of torch on a CPU, several at a time, each on one core. Importing this takes seconds.

Threads within a layer wait for each other at every operation: small models keep two cores half busy so, and
with other work on the machine every wait is as long as the slower core. Parts of a batch wait for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any

import numpy as np
import torch

from rerank.cross.models import Forward
from storage.vectors import Floats


class ParallelForward:
    """A Forward that reads a batch in parts of at most `tokens`, padding included, on that many cores."""

    def __init__(self, forward: Forward, cores: int, tokens: int) -> None:
        self.forward = forward
        self._cores = cores
        self._tokens = tokens

    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:
        if len(ids) < self._cores:  # all cores for one row
            return self.forward(ids, mask, types)

        def read(part: slice) -> Floats:
            longest = int(mask[part].sum(axis=1).max())
            return self.forward(*(values[part, :longest] for values in (ids, mask, types)))

        return np.concatenate(list(_pool(self._cores).map(read, self._parts(mask.sum(axis=1)))))

    def _parts(self, lengths: Any) -> Iterator[slice]:
        """Rows that follow each other, which are of like length where the batch is sorted."""
        fair = -(-len(lengths) // self._cores)
        start = 0
        while start < len(lengths):
            rows = max(1, min(fair, self._tokens // int(lengths[start : start + fair].max())))
            yield slice(start, start + rows)
            start += rows


@cache
def _pool(cores: int) -> ThreadPoolExecutor:
    """Threads that compute on one core each; torch's number for all others stays as it is."""
    pool, all_there, before = ThreadPoolExecutor(cores), Barrier(cores), torch.get_num_threads()

    def alone(_: int) -> None:
        torch.get_num_threads()  # lets torch see this thread: what is set before that does not hold
        torch.set_num_threads(1)
        all_there.wait()

    list(pool.map(alone, range(cores)))
    torch.set_num_threads(before)
    return pool
