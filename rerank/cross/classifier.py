"""Cross-encoders in torch: sequence classification (BERT, XLM-RoBERTa …). Importing this takes seconds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from rerank.cross.causal import load_causal
from rerank.cross.models import PairModel, longest_input, read_config
from rerank.cross.torch_models import (
    Classifier,
    batch_tokens,
    chosen_device,
    fields_of,
    load_tokenizer,
    translated,
)
from storage.errors import ModelError

# Classifiers of these families read the first token of the last layer alone.
_FIRST_TOKEN = ("bert", "roberta", "xlm-roberta")


@lru_cache(maxsize=4)
def load_torch_model(
    folder: Path, *, device: str = "auto", max_length: int | None = None, trust_remote_code: bool = False
) -> PairModel:
    """The cross-encoder of a folder's weights. Raises ModelError for a model that is none.

    On a CPU the weights are float32, whatever the checkpoint holds: half precision is many times slower there
    and saturates. The last few models stay loaded, shared by all chains.
    """
    config = read_config(folder)
    chosen = chosen_device(device)
    architecture = next(iter(config.get("architectures") or []), "")
    # a causal model trained by `winnow train` reads pairs, without the base's template
    on_pairs = config.get("winnow_input") == "pair"
    if architecture.endswith("ForCausalLM") or (config.get("model_type") == "qwen3" and not on_pairs):
        return load_causal(folder, config, chosen, max_length)
    if not architecture.endswith("ForSequenceClassification"):
        raise ModelError(
            f"{folder.name} is not a cross-encoder: its architecture is {architecture or 'not given'}",
            way_out="Choose a reranker, such as cross-encoder/ms-marco-MiniLM-L12-v2.",
        )
    return _load_classifier(folder, config, chosen, max_length, trust_remote_code=trust_remote_code)


def _load_classifier(
    folder: Path, config: dict[str, Any], device: str, max_length: int | None, *, trust_remote_code: bool
) -> PairModel:
    with translated(folder):
        from transformers import AutoModelForSequenceClassification

        model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.float32 if device == "cpu" else torch.float16,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
        )
        tokenizer, names = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    labels = int(model.config.num_labels)
    if labels > 2:
        raise ModelError(f"{folder.name} tells {labels} classes apart: it is a classifier, not a reranker")
    shorten(model)
    return PairModel(
        folder.name,
        Classifier(model.eval().to(device), device, fields_of(names)),
        tokenizer,
        longest_input(folder, config, max_length),
        tokenizer.num_special_tokens_to_add(is_pair=True),
        int(config.get("pad_token_id") or 0),
        batch_tokens(device),
    )


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
