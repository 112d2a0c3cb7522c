"""Loads any cross-encoder with sentence-transformers, whatever its form. Importing this takes seconds.

The scores are those of `CrossEncoder.predict` before its activation; `tests/rerank/test_published_forms.py`
holds them equal. Where a form allows, it runs faster than there: `first_token`, `causal`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from rerank.cross.causal import PLAIN, NextToken
from rerank.cross.first_token import shorten
from rerank.cross.models import Forward, PairModel, Template, longest_input
from rerank.cross.recognition import Form, recognised
from rerank.cross.torch_models import (
    Classifier,
    Modules,
    backend_tokenizer,
    batch_tokens,
    chosen_device,
    fields_of,
    on_all_cores,
    translated,
)
from storage.errors import ModelError


@lru_cache(maxsize=4)
def load_torch_model(
    folder: Path, *, device: str = "auto", max_length: int | None = None, trust_remote_code: bool = False
) -> PairModel:
    """The cross-encoder of a folder's weights. Raises ModelError for a model that is none.

    On a CPU the weights are float32, whatever the checkpoint holds: half precision is many times slower there
    and saturates. The last few models stay loaded, shared by all chains.
    """
    form, chosen = recognised(folder, trust_remote_code=trust_remote_code), chosen_device(device)
    with translated(folder):
        model = _loaded(folder, form, chosen, trust_remote_code=trust_remote_code)
        transformer, config = model[0], model[0].config
        tokenizer = backend_tokenizer(folder, transformer.tokenizer)
        if model.num_labels > 2:
            raise ModelError(
                f"{folder.name} tells {model.num_labels} classes apart: it is a classifier, not a reranker"
            )
        pad = transformer.tokenizer.pad_token_id
        if pad is None:
            pad = config.pad_token_id if config.pad_token_id is not None else (config.eos_token_id or 0)
        config.pad_token_id = pad if config.pad_token_id is None else config.pad_token_id
        template = _template(folder, transformer) if "message" in transformer.modality_config else None
        # without a template only the tokenizer itself writes special tokens: [SEP] in a passage is text
        tokenizer.encode_special_tokens = template is None
        forward = on_all_cores(_forward(model, chosen, list(transformer.tokenizer.model_input_names)), chosen)
    instruction = model.prompts.get(model.default_prompt_name) or None
    places = getattr(config.get_text_config(), "max_position_embeddings", None)
    longest = longest_input(folder, {**form.config, "max_position_embeddings": places}, max_length)
    return PairModel(
        folder.name,
        forward,
        tokenizer,
        longest if max_length else min(longest, transformer.max_seq_length or longest),
        PairModel.overhead_of(template, tokenizer, instruction),
        int(pad),
        batch_tokens(chosen),
        template,
        activation=_activation(model.activation_fn),
        instruction=instruction,
        prompted=template is None and any(model.prompts.values()),
    )


def _loaded(folder: Path, form: Form, device: str, *, trust_remote_code: bool) -> Any:
    """sentence-transformers' CrossEncoder, with what its folder leaves out."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    causal = str(next(iter(form.config.get("architectures") or []), "")).endswith("ForCausalLM")
    half = torch.bfloat16 if causal else torch.float16
    model: Any = CrossEncoder(
        str(folder),
        device=device,
        trust_remote_code=trust_remote_code,
        local_files_only=True,
        model_kwargs={"dtype": torch.float32 if device == "cpu" else half},
        processor_kwargs={"chat_template": form.published.template} if form.published else None,
    )
    if not isinstance(model[0], Transformer) or model[0].transformer_task == "any-to-any":
        raise ModelError(
            f"{folder.name} reads more than text: its first module is {model[0]}",
            way_out="Run it behind a server: api(profile=vllm).",
        )
    if form.published and isinstance(model[-1], LogitScore):
        tokens = [
            model.tokenizer.convert_tokens_to_ids(word)
            for word in (form.published.yes, form.published.no)
            if word
        ]
        if None in tokens:
            raise ModelError(
                f"the tokenizer of {folder.name} does not know {form.published.yes!r} as one token"
            )
        model[-1] = LogitScore(*tokens)
    return model.eval()


def _template(folder: Path, transformer: Any) -> Template:
    """The folder's chat template. Raises ModelError for one that cannot hold a question and a passage."""
    choices = dict(transformer.processing_kwargs.get("chat_template", {}))
    choices.pop("restore_suffix", None)  # nothing is cut off here
    if failure := transformer.input_formatter.pair_roles_failure(choices):
        raise ModelError(
            f"{folder.name} has a chat template, but none for a query and a document: {failure}",
            way_out="Run it behind a server that knows its template: api(profile=vllm).",
        )
    structured = transformer.input_formatter.message_format == "structured"
    control = _control_tokens(transformer.tokenizer)

    def render(instruction: str | None, query: str, passage: str) -> str:
        roles = (("system", instruction), ("query", query), ("document", passage))
        written = [
            (role, control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text))
            for role, text in roles
            if text is not None and (text or role != "system")
        ]
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if structured else text}
            for role, text in written
        ]
        return str(transformer.processor.apply_chat_template(messages, tokenize=False, **choices))

    return Template(render, takes_instruction=render("one", "q", "p") != render("two", "q", "p"))


def _control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Tokens that must not come from a text: it would end the passage, and go on as the template does."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    known = sorted({*added, "<|im_start|>", "<|im_end|>"}, key=len, reverse=True)
    return re.compile("|".join(re.escape(token) for token in known if len(token) > 1))


def _forward(model: Any, device: str, names: list[str]) -> Forward:
    from sentence_transformers.cross_encoder.modules import LogitScore

    transformer, own = model[0], model.transformers_model
    if len(model) == 1:
        shorten(own)
        return Classifier(own, device, fields_of(names))
    if len(model) == 2 and isinstance(model[1], LogitScore) and own.config.model_type in PLAIN:
        tokens = (model[1].true_token_id, model[1].false_token_id)
        return NextToken(own, device, [token for token in tokens if token is not None])
    modality = "message" if "message" in transformer.modality_config else "text"
    causal = transformer.transformer_task == "text-generation"
    return Modules(model, device, fields_of(names), modality=modality, causal=causal)


def _activation(function: Any) -> Callable[[float], float] | None:
    """The model's own last function; None for the logistic one and for none."""
    if isinstance(function, (torch.nn.Sigmoid, torch.nn.Identity)):
        return None
    return lambda logit: float(function(torch.tensor([[logit]], dtype=torch.float64)))
