"""Late-interaction models: any sentence-transformers MultiVectorEncoder, PyLate and ColBERT included.

Only `late-interaction(model=…)` imports this, when it loads. Passages are encoded on the fly: a collection
stores the token vectors of its own encoder, not of this model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rerank.cross.recognition import is_late_interaction
from rerank.cross.torch_models import chosen_device, translated
from storage.errors import ModelError
from storage.legibility import least_legible, legibility
from storage.vectors import Encoding, Floats, normalised

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class MultiVectorModel:
    """A TokenEncoder around a MultiVectorEncoder. It has no dense vectors: `Encoding.dense` is empty."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        self._model = model
        self._tokenizer = tokenizer

    def reads(self, text: str) -> bool:
        """True where the tokenizer represents enough of a text for its vectors to mean something."""
        share = partial(legibility, self._tokenizer)
        return share(text) >= least_legible(share)

    def encode_query(self, text: str) -> Encoding:
        return _encoding(self._model.encode_query([text], convert_to_numpy=True, show_progress_bar=False)[0])

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:  # noqa: ARG002 - always
        if not texts:
            return []
        found = self._model.encode_document(list(texts), convert_to_numpy=True, show_progress_bar=False)
        return [_encoding(vectors) for vectors in found]


@lru_cache(maxsize=2)
def load_multi_vector(folder: Path, *, device: str = "auto") -> MultiVectorModel:
    """The late-interaction model in a folder. Raises ModelError for a model of another kind.

    sentence-transformers would give such a one a projection at random.
    """
    if not is_late_interaction(folder):
        raise ModelError(
            f"{folder.name} is not a late-interaction model (looked for: MultiVectorEncoder or ColBERT in "
            "config_sentence_transformers.json, PyLate's modules, the architecture HF_ColBERT)",
            way_out=f'For a cross-encoder: cross-encoder(model="{folder}").',
        )
    with translated(folder):
        from sentence_transformers import MultiVectorEncoder
        from tokenizers import Tokenizer

        model = MultiVectorEncoder(str(folder), device=chosen_device(device), local_files_only=True)
        wrapped: Any = model.tokenizer
        tokenizer = Tokenizer.from_str(wrapped.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return MultiVectorModel(model, tokenizer)


def _encoding(vectors: Any) -> Encoding:
    tokens: Floats = normalised(np.asarray(vectors, dtype=np.float32))
    return Encoding(np.zeros(0, dtype=np.float32), tokens)
