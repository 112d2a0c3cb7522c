"""Any encoder that sentence-transformers loads: BGE, E5, GTE, Qwen3, BGE-M3 …"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from retrieval.encoders.tokenizer import WholeTokenizer
from retrieval.models.devices import chosen_device, torch_dtype
from retrieval.models.locate import model_json
from storage.cancellation import stop_if_cancelled
from storage.errors import ModelError
from storage.vectors import Encoding, Floats, normalised

_CPU_BATCH, _GPU_BATCH = 32, 256
# Batches that are sorted by length together, and between which an encoding can stop.
_BATCHES = 8
_STATES = "token_embeddings"
_ANYTHING = 1 << 20


class SentenceTransformerModel:
    """A `SentenceTransformer` as a ForwardModel."""

    def __init__(self, model: Any) -> None:
        self.dim = int(model.get_embedding_dimension())
        self.token_dim = _token_dim(model)
        self.max_tokens = _max_tokens(model)
        self.tokenizer = WholeTokenizer(_fast_tokenizer(model))
        self._model = model
        self._batch_size = _CPU_BATCH if model.device.type == "cpu" else _GPU_BATCH

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> SentenceTransformerModel:
        """Load from a folder without fetching anything or running code in it. Raises ModelError."""
        where = chosen_device(device)
        from sentence_transformers import SentenceTransformer

        try:
            return cls(
                SentenceTransformer(
                    str(folder),
                    device=where,
                    local_files_only=True,
                    # on a CPU too: a checkpoint in half precision would run in it, many times slower
                    model_kwargs={"dtype": torch_dtype(where, model_json(folder / "config.json"))},
                )
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
            raise ModelError(
                f"sentence-transformers cannot load the model in {folder}: {error}",
                way_out="Check that the folder is a complete encoder, or fetch it again.",
            ) from error

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:
        """See `retrieval.encoders.encoder.ForwardModel.encode`."""
        read = self.tokenizer.encode_ids([prompt + text for text in texts])
        outputs: list[Any] = []
        for start in range(0, len(texts), self._batch_size * _BATCHES):
            stop_if_cancelled()
            outputs += self._model.encode(
                list(texts[start : start + self._batch_size * _BATCHES]),
                prompt=prompt,
                batch_size=self._batch_size,
                output_value=None,
                show_progress_bar=False,
            )
        return [
            self._encoding(output, tokens, len(one) > self.max_tokens)
            for output, one in zip(outputs, read, strict=True)
        ]

    def close(self) -> None:
        """There is nothing to close."""

    def _encoding(self, output: Any, tokens: bool, truncated: bool) -> Encoding:
        dense = _floats(output["sentence_embedding"])
        vectors: Floats | None = None
        if tokens and self.token_dim is not None:
            # the token states include the batch's padding
            vectors = normalised(_floats(output[_STATES])[_floats(output["attention_mask"]) > 0])
        return Encoding(dense=normalised(dense), tokens=vectors, truncated=truncated)


def _floats(tensor: Any) -> Any:
    return tensor.detach().float().cpu().numpy().astype(np.float32)


def _token_dim(model: Any) -> int | None:
    """The width of the token states; None for models without, such as static embeddings."""
    first = model[0]
    if getattr(first, "module_output_name", "") != _STATES:
        return None
    return int(first.get_embedding_dimension())


def _max_tokens(model: Any) -> int:
    """The most tokens that the model reads, which its tokenizer may overstate; sets the model's limit."""
    stated = model.max_seq_length
    config = getattr(getattr(model[0], "model", None), "config", None)
    if config is None:  # static embeddings read anything, which they call infinity
        return int(min(stated or _ANYTHING, _ANYTHING))
    places = int(getattr(config, "max_position_embeddings", None) or 512)
    if "roberta" in str(config.model_type) or config.model_type in ("camembert", "mpnet"):
        places -= int(config.pad_token_id or 0) + 1  # they count positions from the padding token's id on
    if not stated or stated > places:
        model.max_seq_length = places
        return places
    return int(stated)


def _fast_tokenizer(model: Any) -> Tokenizer:
    wrapped = model.tokenizer
    if isinstance(wrapped, Tokenizer):  # static embeddings have it bare
        tokenizer = Tokenizer.from_str(wrapped.to_str())
    else:
        backend = getattr(wrapped, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(
                "the model has no fast tokenizer, so passages cannot be cut to its length",
                way_out="Choose a model whose folder has a tokenizer.json.",
            )
        tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
