"""A last layer that computes only what is read: the first token. Importing this takes seconds."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

# Classifiers of these families read the first token of the last layer alone.
_FIRST_TOKEN = ("bert", "roberta", "xlm-roberta")


def shorten(model: Any) -> None:
    """Make the last layer of a BERT-like classifier compute the first token alone; others stay as they are.

    Queries, output and feed-forward are for that token; keys and values need all. Of MiniLM's six layers
    that saves most of one, and the scores are the same.
    """
    config = model.config
    known = config.model_type in _FIRST_TOKEN and not config.is_decoder
    if known and config._attn_implementation in ("sdpa", "eager"):
        layers = model.base_model.encoder.layer
        layers[-1] = FirstTokenLayer(layers[-1])


class FirstTokenLayer(torch.nn.Module):
    """A transformer layer that gives only the first token's state, of shape (rows, 1, hidden)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor | None = None, *_: Any, **__: Any
    ) -> torch.Tensor:
        """`mask` is None or of shape (rows, 1, tokens, tokens), boolean or to be added."""
        attention = self.layer.attention.self
        first = states[:, :1]
        rows, heads, size = states.shape[0], attention.num_attention_heads, attention.attention_head_size

        def split(projected: torch.Tensor) -> torch.Tensor:
            return projected.view(rows, -1, heads, size).transpose(1, 2)

        attended = functional.scaled_dot_product_attention(
            split(attention.query(first)),
            split(attention.key(states)),
            split(attention.value(states)),
            attn_mask=None if mask is None else mask[:, :, :1, :],
        )
        together = attended.transpose(1, 2).reshape(rows, 1, heads * size)
        result: torch.Tensor = self.layer.feed_forward_chunk(self.layer.attention.output(together, first))
        return result
