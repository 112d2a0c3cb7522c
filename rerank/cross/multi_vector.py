"""Late-interaction models: any sentence-transformers MultiVectorEncoder, PyLate and ColBERT included.

Only `late-interaction(model=…)` imports this, when it loads. Passages are encoded on the fly: a collection
stores the token vectors of its own encoder, not of this model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rerank.cross.models import chosen_device, translated
from storage.vectors import Encoding, Floats, normalised

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# A text with a lower share of readable characters means nothing to the model.
_LEGIBLE = 0.9


class MultiVectorModel:
    """A TokenEncoder around a MultiVectorEncoder. It has no dense vectors: `Encoding.dense` is empty."""

    def __init__(self, model: Any, tokenizer: Tokenizer, unknown: int | None) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._unknown = unknown

    def reads(self, text: str) -> bool:
        """True where the tokenizer can represent nine tenths of the visible characters."""
        visible = sum(not character.isspace() for character in text)
        if self._unknown is None or not visible:
            return True
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        spans = zip(encoded.ids, encoded.offsets, strict=True)
        lost = sum(end - start for token, (start, end) in spans if token == self._unknown)
        return 1 - lost / visible >= _LEGIBLE

    def encode_query(self, text: str) -> Encoding:
        return _encoding(self._model.encode_query([text], convert_to_numpy=True, show_progress_bar=False)[0])

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:  # noqa: ARG002 - always
        found = self._model.encode_document(list(texts), convert_to_numpy=True, show_progress_bar=False)
        return [_encoding(vectors) for vectors in found]


@lru_cache(maxsize=2)
def load_multi_vector(folder: Path, *, device: str = "auto") -> MultiVectorModel:
    """The late-interaction model in a folder. Raises ModelError."""
    with translated(folder):
        from sentence_transformers import MultiVectorEncoder
        from tokenizers import Tokenizer

        model = MultiVectorEncoder(str(folder), device=chosen_device(device), local_files_only=True)
        wrapped: Any = model.tokenizer
        tokenizer = Tokenizer.from_str(wrapped.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return MultiVectorModel(model, tokenizer, wrapped.unk_token_id)


def _encoding(vectors: Any) -> Encoding:
    tokens: Floats = normalised(np.asarray(vectors, dtype=np.float32))
    return Encoding(np.zeros(0, dtype=np.float32), tokens)
