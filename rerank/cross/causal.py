"""Causal models that rerank by the token that they would write next: `yes` against `no`, or `yes` alone."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from storage.vectors import Floats

# Their logits are those of the head, and nothing else: whatever caps or scales them runs as it is published.
PLAIN = frozenset({"gemma", "llama", "mistral", "qwen2", "qwen3"})
# A shorter common beginning is not worth a pass of its own.
_WORTH_SHARING = 16


class NextToken:
    """The logit of the first of `tokens`, less that of the second where there are two.

    The inputs of a question begin alike, with the template, the instruction and the question: of a batch that
    beginning goes through the model once, and its keys and values serve all.
    """

    def __init__(self, model: Any, device: str, tokens: Sequence[int]) -> None:
        self._model = model
        self._body = model.get_decoder()
        self._head = model.get_output_embeddings()
        self._device = device
        self._tokens = list(tokens)
        # transformers has renamed it
        names = inspect.signature(self._body.forward).parameters
        self._kept = "cache" if "cache" in names else "past_key_values"

    @torch.inference_mode()
    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:  # noqa: ARG002 - causal models have none
        lengths = mask.sum(axis=1)
        shared = _shared(ids, int(lengths.min()) - 1)
        on_device = torch.from_numpy(ids).to(self._device)
        given: dict[str, Any] = {
            "attention_mask": torch.from_numpy(mask).to(self._device),
            "use_cache": False,
        }
        if shared:
            given |= {self._kept: self._beginning(on_device[:1, :shared], len(ids)), "use_cache": True}
        states = self._body(input_ids=on_device[:, shared:], **given).last_hidden_state
        # padding is on the right, where causal attention does not look
        last = states[torch.arange(len(ids)), torch.from_numpy(lengths - 1 - shared)]
        logits = self._head(last)[:, self._tokens].float().cpu().numpy()
        return np.asarray(logits[:, 0] - logits[:, 1] if len(self._tokens) > 1 else logits[:, 0], np.float32)

    def _beginning(self, ids: torch.Tensor, rows: int) -> Any:
        """Keys and values of the beginning, for that many rows."""
        from transformers import DynamicCache

        kept: Any = DynamicCache(config=self._model.config)
        self._body(input_ids=ids, use_cache=True, **{self._kept: kept})
        kept.batch_repeat_interleave(rows)
        return kept


def _shared(ids: Any, most: int) -> int:
    """The number of tokens that all rows begin with, at most `most`; 0 where sharing them gains nothing."""
    differing = np.flatnonzero((ids != ids[:1]).any(axis=0))
    same = min(int(differing[0]) if len(differing) else ids.shape[1], most)
    return same if len(ids) > 1 and same >= _WORTH_SHARING else 0
