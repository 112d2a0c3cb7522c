"""Loading a cross-encoder: sequence classification (BERT, XLM-RoBERTa …); causal models in `cross_causal`.

Only the strategy `cross-encoder` imports this, when it loads: torch and transformers take seconds.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from rerank.cross.causal import load_causal
from rerank.cross.first_token import shorten
from rerank.cross.models import (
    Classifier,
    PairModel,
    batch_tokens,
    chosen_device,
    fields_of,
    load_tokenizer,
    longest_input,
    read_config,
    translated,
)
from storage.errors import ModelError


@lru_cache(maxsize=4)
def load_pair_model(
    folder: Path, *, device: str = "auto", max_length: int | None = None, trust_remote_code: bool = False
) -> PairModel:
    """The cross-encoder in a folder. Raises ModelError for what is none.

    On a CPU the weights are float32, whatever the checkpoint holds: half precision is many times slower there
    and saturates. The last few models stay loaded, so that every chain shares them.
    """
    config = read_config(folder)
    chosen = chosen_device(device)
    architecture = next(iter(config.get("architectures") or []), "")
    # what `winnow train` makes of a causal model reads pairs, and no template of the base's
    on_pairs = config.get("winnow_input") == "pair"
    if architecture.endswith("ForCausalLM") or (config.get("model_type") == "qwen3" and not on_pairs):
        return load_causal(folder, config, chosen, max_length)
    if not architecture.endswith("ForSequenceClassification"):
        raise ModelError(
            f"{folder.name} is no cross-encoder: its architecture is {architecture or 'not given'}",
            way_out="Choose a reranker, such as cross-encoder/ms-marco-MiniLM-L6-v2.",
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
        raise ModelError(f"{folder.name} tells {labels} classes apart: it is a classifier, no reranker")
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
