"""BERT with mean pooling in plain torch (Devlin et al. 2019; Reimers & Gurevych 2019).

Why not through a library: importing sentence-transformers costs 7 to 9 seconds and transformers' BERT 4,
which a cold `winnow ask` cannot afford; this needs torch alone. Tests hold it equal to
sentence-transformers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from retrieval.models.devices import chosen_device, torch_dtype
from retrieval.models.locate import model_json
from storage.errors import ModelError
from storage.vectors import Encoding

if TYPE_CHECKING:
    from tokenizers import Encoding as TokenizedText

# Padding costs more than large batches gain on a CPU: sorted by length, at most this many padded tokens.
_CPU_BATCH_TOKENS = 2_048
_GPU_BATCH_TOKENS = 65_536


def is_plain_bert(folder: Path) -> bool:
    """True for the folder of a BERT whose sentence vector is the L2-normalised mean of its token states."""
    config, pooling = model_json(folder / "config.json"), model_json(folder / "1_Pooling" / "config.json")
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and (pooling.get("pooling_mode_mean_tokens") is True or pooling.get("pooling_mode") == "mean")
        and not pooling.get("pooling_mode_cls_token")
        and "Dense" not in json.dumps(model_json(folder / "modules.json"))
        and "Normalize" in json.dumps(model_json(folder / "modules.json"))
        and pooling.get("include_prompt") is not False
        and not model_json(folder / "config_sentence_transformers.json").get("truncate_dim")
        and (folder / "model.safetensors").is_file()
        and (folder / "tokenizer.json").is_file()
    )


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the fast tokenizer of a model's folder, without the truncation and padding saved in it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@dataclass(frozen=True, slots=True)
class _Linear:
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: _Linear
    attended: _Linear
    attended_norm: _Norm
    up: _Linear
    down: _Linear
    norm: _Norm
    heads: int

    def __call__(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.attended_norm(x + self.attended(mixed.transpose(1, 2).reshape(batch, length, width)))
        return self.norm(x + self.down(functional.gelu(self.up(x))))


@dataclass(frozen=True, slots=True)
class BertModel:
    """A ForwardModel over length-sorted batches. See `load`."""

    embeddings: Tensor
    positions: Tensor
    norm: _Norm
    layers: Sequence[_Layer]
    tokenizer: Tokenizer
    max_tokens: int

    @property
    def dim(self) -> int:
        return int(self.embeddings.shape[1])

    token_dim = dim

    @classmethod
    def load(cls, folder: Path, tokenizer: Tokenizer, *, device: str = "auto") -> BertModel:
        """Read the weights of a folder for which `is_plain_bert` holds. Raises ModelError."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        where, config = chosen_device(device), model_json(folder / "config.json")
        dtype = torch_dtype(where, config)
        try:
            stored = load_file(folder / "model.safetensors", device=where)
            weights = {name: tensor.to(dtype) for name, tensor in stored.items()}
            return cls(*_parts(weights, config), tokenizer, _max_tokens(folder, config))
        except (SafetensorError, KeyError, OSError, RuntimeError) as error:
            raise ModelError(
                f"the model in {folder} cannot be loaded: {error}",
                way_out="Install or fetch the model again.",
            ) from error

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:
        """See `retrieval.encoders.encoder.ForwardModel.encode`."""
        tokenized = self.tokenizer.encode_batch_fast([prompt + text for text in texts])
        encoded: list[Encoding | None] = [None] * len(texts)
        with torch.inference_mode():
            for batch in self._batches(tokenized):
                for index, encoding in zip(
                    batch, self._run([tokenized[i] for i in batch], tokens), strict=True
                ):
                    encoded[index] = encoding
        return [encoding for encoding in encoded if encoding is not None]

    def close(self) -> None:
        """There is nothing to close."""

    def _batches(self, tokenized: Sequence[TokenizedText]) -> Iterator[list[int]]:
        budget = _CPU_BATCH_TOKENS if self.embeddings.device.type == "cpu" else _GPU_BATCH_TOKENS
        lengths = [min(len(text.ids), self.max_tokens) for text in tokenized]
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lengths.__getitem__):
            if batch and (len(batch) + 1) * lengths[index] > budget:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _run(self, batch: Sequence[TokenizedText], tokens: bool) -> list[Encoding]:
        ids = [self._truncated(text.ids) for text in batch]
        lengths = torch.tensor([len(row) for row in ids])
        longest = int(lengths.max())
        padded = torch.tensor(
            [row + [0] * (longest - len(row)) for row in ids], device=self.embeddings.device
        )
        visible = (torch.arange(longest) < lengths[:, None]).to(self.embeddings.device)
        mask = None if bool(visible.all()) else visible[:, None, None, :]
        states = self.norm(self.embeddings[padded] + self.positions[:longest])
        for layer in self.layers:
            states = layer(states, mask)
        states = states.float()  # sums over many tokens need more than half precision
        weights = visible[:, :, None].to(states.dtype)
        dense = functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1).cpu().numpy()
        unit = functional.normalize(states, dim=-1).cpu().numpy() if tokens else None
        return [
            Encoding(
                dense=dense[row],
                tokens=None if unit is None else unit[row, : len(ids[row])].copy(),
                truncated=len(text.ids) > self.max_tokens,
            )
            for row, text in enumerate(batch)
        ]

    def _truncated(self, ids: list[int]) -> list[int]:
        # the closing [SEP] stays, as the model was trained
        return ids if len(ids) <= self.max_tokens else [*ids[: self.max_tokens - 1], ids[-1]]


def _parts(weights: dict[str, Tensor], config: dict[str, Any]) -> tuple[Tensor, Tensor, _Norm, list[_Layer]]:
    eps, heads = float(config["layer_norm_eps"]), int(config["num_attention_heads"])
    # there is only one segment: its embedding is a constant
    positions = (
        weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    layers = [_layer(weights, f"encoder.layer.{n}.", heads, eps) for n in range(config["num_hidden_layers"])]
    return (
        weights["embeddings.word_embeddings.weight"],
        positions,
        _norm(weights, "embeddings.LayerNorm", eps),
        layers,
    )


def _layer(weights: dict[str, Tensor], prefix: str, heads: int, eps: float) -> _Layer:
    projections = [_linear(weights, f"{prefix}attention.self.{name}") for name in ("query", "key", "value")]
    return _Layer(
        qkv=_Linear(
            torch.cat([part.weight for part in projections]), torch.cat([part.bias for part in projections])
        ),
        attended=_linear(weights, f"{prefix}attention.output.dense"),
        attended_norm=_norm(weights, f"{prefix}attention.output.LayerNorm", eps),
        up=_linear(weights, f"{prefix}intermediate.dense"),
        down=_linear(weights, f"{prefix}output.dense"),
        norm=_norm(weights, f"{prefix}output.LayerNorm", eps),
        heads=heads,
    )


def _linear(weights: dict[str, Tensor], name: str) -> _Linear:
    return _Linear(weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(weights: dict[str, Tensor], name: str, eps: float) -> _Norm:
    return _Norm(weights[f"{name}.weight"], weights[f"{name}.bias"], eps)


def _max_tokens(folder: Path, config: dict[str, Any]) -> int:
    limit = int(config["max_position_embeddings"])
    return min(limit, int(model_json(folder / "sentence_bert_config.json").get("max_seq_length") or limit))
