"""Any encoder that sentence-transformers loads: BGE, E5, GTE, Qwen3, BGE-M3 …"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from storage.errors import ModelError
from storage.vectors import Encoding, normalised


class SentenceTransformerModel:
    """A `SentenceTransformer` behind winnow's ForwardModel Protocol."""

    def __init__(self, model: Any, *, batch_size: int = 32) -> None:
        self.dim = int(model.get_embedding_dimension())
        self.max_tokens = int(model.max_seq_length or 512)
        self.tokenizer: Tokenizer = _fast_tokenizer(model)
        self.query_prompt = str(model.prompts.get("query") or "")
        self.passage_prompt = str(model.prompts.get("document") or model.prompts.get("passage") or "")
        self._model = model
        self._batch_size = batch_size

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> SentenceTransformerModel:
        """Load from a folder; nothing is fetched. Raises ModelError."""
        from sentence_transformers import SentenceTransformer

        try:
            return cls(
                SentenceTransformer(
                    str(folder), device=None if device == "auto" else device, local_files_only=True
                )
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"sentence-transformers cannot load the model in {folder}: {error}",
                way_out="Check that the folder is a complete encoder, or fetch it anew.",
            ) from error

    def encode(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        """See `retrieval.encoder.ForwardModel.encode`."""
        lengths = [len(encoded.ids) for encoded in self.tokenizer.encode_batch_fast(list(texts))]
        outputs = self._model.encode(
            list(texts),
            # prompts are already in the texts: the caller's spans must count them
            prompt="",
            batch_size=self._batch_size,
            output_value=None,
            show_progress_bar=False,
        )
        return [
            self._encoding(output, tokens, length > self.max_tokens)
            for output, length in zip(outputs, lengths, strict=True)
        ]

    def _encoding(self, output: Any, tokens: bool, truncated: bool) -> Encoding:
        dense = _floats(output["sentence_embedding"])
        # the batch's padding stands with the token states
        vectors = (
            _floats(output["token_embeddings"])[_floats(output["attention_mask"]) > 0] if tokens else None
        )
        return Encoding(
            dense=normalised(dense),
            tokens=None if vectors is None else normalised(vectors),
            truncated=truncated,
        )


def _floats(tensor: Any) -> Any:
    return tensor.detach().float().cpu().numpy().astype(np.float32)


def _fast_tokenizer(model: Any) -> Tokenizer:
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            "the model has no fast tokenizer, so passages cannot be cut to its length",
            way_out="Choose a model whose folder has a tokenizer.json.",
        )
    tokenizer = Tokenizer.from_str(json.dumps(json.loads(backend.to_str())))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
