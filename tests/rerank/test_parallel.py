"""Passes of torch spread over cores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rerank.cross.parallel import ParallelForward
from storage.vectors import Floats

pytestmark = pytest.mark.heavy


def test_every_part_computes_on_one_core_and_rows_keep_their_order() -> None:
    """Parts run on one thread each; torch's number elsewhere stays, and so does the rows' order."""
    threads: list[int] = []

    def forward(ids: Any, mask: Any, types: Any) -> Floats:
        torch.ones(64, 64) @ torch.ones(64, 64)
        threads.append(torch.get_num_threads())
        return np.asarray(ids[:, 0] * mask.sum(axis=1), dtype=np.float32)

    before = torch.get_num_threads()
    lengths = [9, 8, 5, 5, 3, 1]
    mask = np.array([[1] * length + [0] * (9 - length) for length in lengths])
    ids = np.arange(1, 7)[:, None] * mask
    found = ParallelForward(forward, 2, 20)(ids, mask, mask)
    assert found.tolist() == [9, 16, 15, 20, 15, 6]
    assert len(threads) >= 3
    assert set(threads) == {1}
    assert torch.get_num_threads() == before
