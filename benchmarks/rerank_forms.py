"""Models of other forms than BERT's, for `benchmarks/rerank.py`: random weights in published shapes.

`modular` has ettin-reranker-17m's shape (ModernBERT, pooling, a head of modules); `causal` is a Qwen3 with a
template and two tokens, with a third of Qwen3-Reranker-0.6B's width and a quarter of its layers, so that a
round takes seconds on two cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = """{%- set texts = messages | map(attribute="content") | list -%}
{%- set query = texts[0] -%}{%- set passage = texts[1] -%}
{{- "<|im_start|>system\\nJudge whether the Document meets the requirements based on the Query and the
Instruct provided. Note that the answer can only be yes or no.<|im_end|>\\n<|im_start|>user\\n<Instruct>:
Given a web search query, retrieve relevant passages that answer the query\\n<Query>: " ~ query -}}
{{- "\\n<Document>: " -}}
{{- passage ~ "<|im_end|>\\n<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n" -}}"""


def modular(folder: Path) -> Path:
    """A folder of ettin-reranker-17m's form and shape."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
    from transformers import ModernBertConfig, ModernBertModel

    torch.manual_seed(0)
    width, base = 256, _tokenizer(folder / "base")
    config = ModernBertConfig(
        hidden_size=width, intermediate_size=384, num_hidden_layers=7, num_attention_heads=4,
        max_position_embeddings=7_999, pad_token_id=0, cls_token_id=101, sep_token_id=102, bos_token_id=101,
        eos_token_id=102,
    )  # fmt: skip
    ModernBertModel(config).save_pretrained(base)
    modules = [
        Transformer(str(base), transformer_task="feature-extraction"),
        Pooling(width, pooling_mode="cls"),
        Dense(width, width, bias=False, activation_function=torch.nn.GELU()),
        LayerNorm(width),
        Dense(width, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    return _saved(CrossEncoder(modules=modules, device="cpu", activation_fn=torch.nn.Identity()), folder)


def causal(folder: Path) -> Path:
    """A folder of Qwen3-Reranker's form, smaller."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    base = _tokenizer(folder / "base")
    config = Qwen3Config(
        vocab_size=30_522, hidden_size=384, intermediate_size=1_152, num_hidden_layers=7,
        num_attention_heads=6, num_key_value_heads=3, head_dim=64, max_position_embeddings=2_048,
        pad_token_id=0,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(base)
    (base / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    transformer: Any = Transformer(str(base), transformer_task="text-generation")
    tokens = [transformer.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no")]
    return _saved(CrossEncoder(modules=[transformer, LogitScore(*tokens)], device="cpu"), folder)


def _tokenizer(folder: Path) -> Path:
    from transformers import AutoTokenizer

    from retrieval.models.hub import MINILM
    from retrieval.models.locate import locate

    own: Any = AutoTokenizer.from_pretrained(locate(MINILM).folder, model_max_length=512)
    own.model_input_names = ["input_ids", "attention_mask"]
    own.save_pretrained(folder)
    return folder


def _saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
