"""Rerankers in the forms that they are published in: tiny, random weights, saved as by their authors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tests.support import tiny_models

_ROLES = """
{%- set task = messages | selectattr("role", "eq", "system") | map(attribute="content") | first -%}
{%- set query = messages | selectattr("role", "eq", "query") | map(attribute="content") | first -%}
{%- set passage = messages | selectattr("role", "eq", "document") | map(attribute="content") | first -%}
"""
QWEN3 = (
    _ROLES
    + '{{- "<|im_start|>system\\nJudge whether the Document meets the requirements.<|im_end|>\\n" -}}'
    + '{{- "<|im_start|>user\\n<Instruct>: " ~ (task or "retrieve passages") ~ "\\n<Query>: " ~ query -}}'
    + '{{- "\\n<Document>: " ~ passage ~ "<|im_end|>\\n<|im_start|>assistant\\n" -}}'
    + '{{- "<think>\\n\\n</think>\\n\\n" -}}'
)
MXBAI = (
    _ROLES
    + '{{- "<|im_start|>user\\n" -}}{%- if task %}{{ "instruction: " ~ task ~ "\\n" }}{% endif -%}'
    + '{{- "query: " ~ query ~ "\\ndocument: " ~ passage ~ "\\nRelevance:<|im_end|>\\n" -}}'
    + '{{- "<|im_start|>assistant\\n" -}}'
)
ZERANK = (
    _ROLES
    + '{{- "<|im_start|>system\\n" ~ query | trim ~ "<|im_end|>\\n<|im_start|>user\\n" ~ passage | trim -}}'
    + '{{- "<|im_end|>\\n<|im_start|>assistant\\n" -}}'
)
CHAT = """{%- for m in messages if m.role in ("system", "user", "assistant") -%}
{{- "<|im_start|>" ~ m.role ~ "\\n" ~ m.content ~ "<|im_end|>\\n" -}}{%- endfor -%}"""


def ettin(folder: Path, *, width: int = 32, spread: float = 0.5) -> Path:
    """A ModernBERT with pooling and a head of modules, as the ettin-rerankers are."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
    from transformers import ModernBertConfig, ModernBertModel

    tiny_models.bert(folder / "base")
    torch.manual_seed(11)
    config = ModernBertConfig(
        vocab_size=json.loads((folder / "base" / "config.json").read_text())["vocab_size"], hidden_size=width,
        num_hidden_layers=3, num_attention_heads=2, intermediate_size=2 * width, max_position_embeddings=96,
        global_attn_every_n_layers=2, local_attention=16, pad_token_id=0, initializer_range=spread,
        cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    ModernBertModel(config).save_pretrained(folder / "base")
    _plain_tokenizer(folder / "base")
    head = [
        Pooling(width, pooling_mode="cls"),
        Dense(width, width, bias=False, activation_function=torch.nn.GELU()),
        LayerNorm(width),
        Dense(width, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    transformer = Transformer(str(folder / "base"), transformer_task="feature-extraction")
    return _saved(
        CrossEncoder(modules=[transformer, *head], device="cpu", activation_fn=torch.nn.Identity()), folder
    )


def qwen3_logit_score(folder: Path, *, prompt: str | None = None) -> Path:
    """Qwen3-Reranker's form since sentence-transformers 5.4: template and tokens are in the folder."""
    tiny_models.qwen3(folder / "base")
    return _causal(folder, QWEN3, ("yes", "no"), prompt)


def mxbai_v2(folder: Path) -> Path:
    """mxbai-rerank-v2's form: Qwen2, 1 against 0."""
    qwen2(folder / "base")
    return _causal(folder, MXBAI, ("1", "0"))


def zerank(folder: Path) -> Path:
    """zerank-2's form: Qwen3, the logit of one token, the question as the system's message."""
    tiny_models.qwen3(folder / "base")
    return _causal(folder, ZERANK, ("yes",))


def gemma2(folder: Path) -> Path:
    """A causal model whose logits are capped after the head."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    tiny_models.qwen3(folder / "base")
    torch.manual_seed(12)
    config = Gemma2Config(
        vocab_size=_vocabulary(folder / "base"), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, intermediate_size=64, max_position_embeddings=512, pad_token_id=0,
        initializer_range=0.5, final_logit_softcapping=1.0, sliding_window=64,
    )  # fmt: skip
    Gemma2ForCausalLM(config).save_pretrained(folder / "base")
    return _causal(folder, MXBAI, ("yes", "no"))


def qwen3_classifier(folder: Path) -> Path:
    """Qwen3-Reranker converted to sequence classification, with its template in the folder."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer

    tiny_models.qwen3(folder / "base", converted=True)
    (folder / "base" / "chat_template.jinja").write_text(QWEN3, encoding="utf-8")
    transformer = Transformer(str(folder / "base"), transformer_task="sequence-classification")
    return _saved(CrossEncoder(modules=[transformer], device="cpu"), folder)


def qwen2(folder: Path, *, template: str | None = None) -> Path:
    """A causal Qwen2 without any word on reranking, as mxbai-rerank-v2 was first published."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tiny_models.qwen3(folder)
    torch.manual_seed(13)
    config = Qwen2Config(
        vocab_size=_vocabulary(folder), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, intermediate_size=64, max_position_embeddings=512, pad_token_id=0,
        initializer_range=0.5,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def gemma(folder: Path) -> Path:
    """A Gemma without any word on reranking, as bge-reranker-v2-gemma was published."""
    from transformers import GemmaConfig, GemmaForCausalLM

    tiny_models.qwen3(folder)
    torch.manual_seed(14)
    config = GemmaConfig(
        vocab_size=_vocabulary(folder), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, intermediate_size=64, max_position_embeddings=512, pad_token_id=0,
        initializer_range=0.5,
    )  # fmt: skip
    GemmaForCausalLM(config).save_pretrained(folder)
    return folder


def jina_v3(folder: Path) -> Path:
    """jina-reranker-v3's form: a Qwen3 by its type, an architecture in code that the folder brings along."""
    tiny_models.qwen3(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["JinaForRanking"], "auto_map": {"AutoModel": "modeling.JinaForRanking"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "modeling.py").write_text(_JINA, encoding="utf-8")
    return folder


def pylate(folder: Path) -> Path:
    """A PyLate model: its own names of modules, its markers for questions and passages in its own file."""
    from sentence_transformers import MultiVectorEncoder

    MultiVectorEncoder(str(tiny_models.bert(folder / "base")), device="cpu").save(str(folder))
    modules = json.loads((folder / "modules.json").read_text())[:2]
    modules[1]["type"] = "pylate.models.Dense.Dense"
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    saved = {"model_type": "ColBERT", "query_length": 16, "document_length": 60, "skiplist_words": [],
             "query_prefix": "", "document_prefix": "", "attend_to_expansion_tokens": False}  # fmt: skip
    (folder / "config_sentence_transformers.json").write_text(json.dumps(saved), encoding="utf-8")
    return folder


def taught(folder: Path, question: str, grades: Mapping[str, float], *, steps: int = 120) -> Path:
    """The model, fitted to the grades of some passages: what it tells apart is far more than rounding."""
    from sentence_transformers import CrossEncoder

    model: Any = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity()).float()
    features = model.preprocess([(question, text) for text in grades])
    wanted = torch.tensor(list(grades.values()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(features)["scores"].flatten(), wanted).backward()
        optimizer.step()
    return _saved(model, folder)


def with_activation(folder: Path, activation: str) -> Path:
    """A BERT classifier whose folder names its last function."""
    tiny_models.bert(folder)
    config = json.loads((folder / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": activation, "version": "5.0.0"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _causal(folder: Path, template: str, words: tuple[str, ...], prompt: str | None = None) -> Path:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    (folder / "base" / "chat_template.jinja").write_text(template, encoding="utf-8")
    transformer: Any = Transformer(str(folder / "base"), transformer_task="text-generation")
    tokens = [transformer.tokenizer.convert_tokens_to_ids(word) for word in words]
    prompts = {"prompts": {"search": prompt}, "default_prompt_name": "search"} if prompt else {}
    model = CrossEncoder(modules=[transformer, LogitScore(*tokens)], device="cpu", **prompts)
    return _saved(model, folder)


def _saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _vocabulary(folder: Path) -> int:
    return int(json.loads((folder / "config.json").read_text())["vocab_size"])


def _plain_tokenizer(folder: Path) -> None:
    """ModernBERT takes no token types."""
    file = folder / "tokenizer_config.json"
    saved = json.loads(file.read_text()) | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
    }
    file.write_text(json.dumps(saved), encoding="utf-8")


_JINA = """
from transformers import Qwen3Model, Qwen3PreTrainedModel


class JinaForRanking(Qwen3PreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.model = Qwen3Model(config)
        self.post_init()

    def rerank(self, query, documents, top_n=None):
        scored = [(len(set(query) & set(text)) / 40, place) for place, text in enumerate(documents)]
        return [
            {"index": place, "relevance_score": score, "document": documents[place]}
            for score, place in sorted(scored, reverse=True)
        ]
"""
