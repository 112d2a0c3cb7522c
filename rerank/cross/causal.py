"""Causal models that rerank by answering yes or no, with the template of their training (Qwen3-Reranker)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from rerank.cross.models import Forward, PairModel, Template, longest_input
from rerank.cross.torch_models import Classifier, batch_tokens, fields_of, load_tokenizer, translated
from storage.errors import ModelError
from storage.vectors import Floats

# The template of Qwen3-Reranker's training. Without it, or with its end cut off, the scores mean nothing.
_QWEN3_HEAD = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_QWEN3_TAIL = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_QWEN3_TASK = "Given a web search query, retrieve relevant passages that answer the query"


def load_causal(folder: Path, config: dict[str, Any], device: str, max_length: int | None) -> PairModel:
    """A Qwen3 reranker, causal or converted to sequence classification. Raises ModelError."""
    if config.get("model_type") != "qwen3":
        raise ModelError(
            f"{folder.name} is a causal model of an unknown kind: {config.get('model_type')!r}",
            way_out="Qwen3 rerankers run here; run others behind a server: api(profile=vllm).",
        )
    with translated(folder):
        tokenizer, _ = load_tokenizer(folder)
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        forward, pad = _load_qwen3(folder, config, tokenizer, dtype, device)
    head, tail = (tuple(_ids(tokenizer, text)) for text in (_QWEN3_HEAD, _QWEN3_TAIL))
    template = Template(head, tail, f"<Instruct>: {_QWEN3_TASK}\n<Query>: {{query}}\n<Document>: {{passage}}")
    around = len(head) + len(tail) + len(_ids(tokenizer, template.body.format(query="", passage="")))
    longest = longest_input(folder, config, max_length)
    return PairModel(folder.name, forward, tokenizer, longest, around, pad, batch_tokens(device), template)


def _load_qwen3(
    folder: Path, config: dict[str, Any], tokenizer: Tokenizer, dtype: torch.dtype, device: str
) -> tuple[Forward, int]:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    pad = int(config.get("pad_token_id") or config.get("eos_token_id") or 0)
    if config["architectures"][0].endswith("ForSequenceClassification"):
        # converted checkpoints, whose head reads the last token before the padding
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=dtype, local_files_only=True
        )
        model.config.pad_token_id = pad
        return Classifier(model.eval().to(device), device, fields_of([])), pad
    yes, no = (tokenizer.token_to_id(word) for word in ("yes", "no"))
    if yes is None or no is None:
        raise ModelError(f"the tokenizer of {folder.name} has no tokens 'yes' and 'no'")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    return _YesNo(model.eval().to(device), device, yes, no), pad


class _YesNo:
    """log p(yes) - log p(no) for the next token."""

    def __init__(self, model: Any, device: str, yes: int, no: int) -> None:
        self._body = model.get_decoder()
        self._head = model.get_output_embeddings()
        self._device = device
        self._words = [yes, no]

    @torch.inference_mode()
    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:  # noqa: ARG002 - causal models have none
        on_device = torch.from_numpy(mask).to(self._device)
        states = self._body(
            input_ids=torch.from_numpy(ids).to(self._device), attention_mask=on_device, use_cache=False
        ).last_hidden_state
        # padding is on the right, where causal attention does not look
        last = states[torch.arange(len(mask)), on_device.sum(dim=1) - 1]
        logits = self._head(last)[:, self._words].float().cpu().numpy()
        return np.asarray(logits[:, 0] - logits[:, 1], dtype=np.float32)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
