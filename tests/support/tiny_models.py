"""Rerankers and encoders of real architectures: tiny, random weights, real tokenizers of few sentences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "A reranker reads the question and the passage together.",
    "Late interaction compares token vectors with MaxSim.",
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided.",
    "重排序模型同时阅读问题和文档，然后给出相关性分数。",
    "The quick brown fox jumps over the lazy dog, yes or no.",
]


def bert(folder: Path, *, labels: int = 1, seed: int = 0, positions: int = 64) -> Path:
    """A BERT classifier with a WordPiece tokenizer; it reads `positions` tokens."""
    from transformers import BertConfig, BertForSequenceClassification

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = _words(tokenizer)
    letters = sorted(set("".join(words)))
    pieces = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *words])
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer.model = models.WordPiece(vocab=vocabulary, unk_token="[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.enable_truncation(32)
    tokenizer.enable_padding(length=32)
    _save(
        tokenizer,
        folder,
        "BertTokenizerFast",
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=positions, num_labels=labels, initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def xlm_roberta(folder: Path) -> Path:
    """An XLM-RoBERTa classifier (the kind of BGE and Jina rerankers) with a Unigram tokenizer."""
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    words = _words(tokenizer)
    scores = {**dict.fromkeys(special, 0.0), **dict.fromkeys(sorted(set("".join(words))), -6.0)}
    scores |= {word: -2.0 for word in words if len(word) > 1}
    tokenizer.model = models.Unigram(list(scores.items()), unk_id=special.index("<unk>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    _save(
        tokenizer,
        folder,
        "PreTrainedTokenizerFast",
        pad_token="<pad>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )
    torch.manual_seed(1)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=66, pad_token_id=1, num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    return folder


def halved(folder: Path, target: Path) -> Path:
    """A copy of an XLM-RoBERTa classifier with its weights in float16."""
    from transformers import XLMRobertaForSequenceClassification

    shutil.copytree(folder, target)
    XLMRobertaForSequenceClassification.from_pretrained(folder).half().save_pretrained(target)
    return target


def qwen3(folder: Path, *, converted: bool = False, places: int = 512) -> Path:
    """A causal Qwen3 that says yes or no, or one converted to sequence classification."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3ForSequenceClassification

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*SENTENCES, *["yes no yes no system user assistant"] * 20], trainer)
    tokenizer.add_tokens([word for word in ("yes", "no") if tokenizer.token_to_id(word) is None])
    _save(
        tokenizer,
        folder,
        "PreTrainedTokenizerFast",
        pad_token="<|endoftext|>",
        model_input_names=["input_ids", "attention_mask"],
    )
    torch.manual_seed(2)
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, intermediate_size=64, max_position_embeddings=places,
        num_labels=1, pad_token_id=0, initializer_range=0.5,
    )  # fmt: skip
    model = Qwen3ForSequenceClassification(config) if converted else Qwen3ForCausalLM(config)
    model.save_pretrained(folder)
    return folder


def _words(tokenizer: Tokenizer) -> list[str]:
    """Return the sentences' words in a fixed order: the library's trainers vary the vocabulary."""
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    texts = [normalizer.normalize_str(text) if normalizer else text for text in SENTENCES]
    return sorted({word for text in texts for word, _ in splitter.pre_tokenize_str(text)})


def _save(tokenizer: Tokenizer, folder: Path, kind: str, **special: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": kind, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def bert_encoder(folder: Path, *, pooling: str = "mean", **saved: Any) -> Path:
    """A BERT whose sentence vector is its tokens' mean (or another pooling); it reads 64 tokens.

    `saved` goes into config_sentence_transformers.json.
    """
    from transformers import BertConfig, BertModel

    bert(folder)
    config = BertConfig.from_pretrained(folder)
    torch.manual_seed(3)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return _as_encoder(folder, pooling, 64, saved)


def xlm_roberta_encoder(folder: Path, *, half: bool = False, **saved: Any) -> Path:
    """An XLM-RoBERTa encoder, as BGE-M3 and multilingual E5 are; its first token speaks for the sentence.

    Its tokenizer states no limit: 64 of its 66 positions can be used. `half` saves it in float16.
    """
    from transformers import XLMRobertaConfig, XLMRobertaModel

    xlm_roberta(folder)
    config = XLMRobertaConfig.from_pretrained(folder)
    torch.manual_seed(4)
    model = XLMRobertaModel(config, add_pooling_layer=False)
    (model.half() if half else model).save_pretrained(folder)
    return _as_encoder(folder, "cls", None, saved)


def qwen3_encoder(folder: Path, **saved: Any) -> Path:
    """A causal Qwen3 as Qwen3-Embedding is: padded on the left, the last token speaks for the sentence."""
    from transformers import Qwen3Config, Qwen3Model

    qwen3(folder, places=96)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end = "<|endoftext|>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, tokenizer.token_to_id(end))]
    )
    _save(
        tokenizer,
        folder,
        "PreTrainedTokenizerFast",
        pad_token=end,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )
    torch.manual_seed(5)
    Qwen3Model(Qwen3Config.from_pretrained(folder)).save_pretrained(folder)
    return _as_encoder(folder, "lasttoken", None, saved)


def static_encoder(folder: Path) -> Path:
    """Static embeddings (Model2Vec's kind): a vector a token, averaged; there is no forward pass."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    bert(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    torch.manual_seed(6)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu")
    shutil.rmtree(folder)
    model.save(str(folder), create_model_card=False)
    return folder


def _as_encoder(folder: Path, pooling: str, reads: int | None, saved: dict[str, Any]) -> Path:
    """The files that make a transformer an encoder, as the hub's encoders have them."""
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(kinds)
    ]
    files: dict[str, Any] = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode": pooling},
        "sentence_bert_config.json": {"do_lower_case": False} | ({"max_seq_length": reads} if reads else {}),
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "5.0.0"}, **saved},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
