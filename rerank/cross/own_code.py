"""Models that rank whole lists with code that their folder brings along (jina-reranker-v3's kind).

Loaded only with `rerank.trust_remote_code`. Their interface is `rerank(query, documents)`, which gives back
dicts with `index` and `relevance_score`. A score depends on the passages beside it, and is never kept.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from rerank.cross.models import PairModel, longest_input, read_config
from rerank.cross.passes import Found
from rerank.cross.torch_models import batch_tokens, chosen_device, load_tokenizer, translated
from storage.errors import ModelError


@dataclass(frozen=True, slots=True)
class ListModel(PairModel):
    """A PairModel whose passages are all read together. `model` has the method `rerank`."""

    model: Any = None
    lock: Any = field(default_factory=Lock)

    def scored(self, query: str, texts: Sequence[str]) -> Generator[Found]:
        """(number of the text, its score), all at once. Raises ModelError for a reply out of shape."""
        with self.lock, torch.inference_mode():
            ranked = self.model.rerank(query, list(texts))
        try:
            found = [(int(one["index"]), float(one["relevance_score"])) for one in ranked]
        except (TypeError, KeyError, ValueError) as error:
            raise ModelError(f"{self.name}: its rerank() gave back no list of scores by index") from error
        if sorted(index for index, _ in found) != list(range(len(texts))):
            raise ModelError(f"{self.name}: its rerank() did not score each of {len(texts)} passages once")
        yield found


@lru_cache(maxsize=2)
def load_list_model(folder: Path, *, device: str = "auto", max_length: int | None = None) -> ListModel:
    """The model of a folder whose code may be run. Raises ModelError where it has no method `rerank`."""
    config, chosen = read_config(folder), chosen_device(device)
    with translated(folder):
        from transformers import AutoModel

        model: Any = AutoModel.from_pretrained(
            folder,
            dtype=torch.float32 if chosen == "cpu" else torch.bfloat16,
            trust_remote_code=True,
            local_files_only=True,
        )
        tokenizer = load_tokenizer(folder, trust_remote_code=True)
    if not callable(getattr(model, "rerank", None)):
        raise ModelError(
            f"{folder.name}: {type(model).__name__}, which it brings along, has no rerank(query, documents)"
        )
    model = model.eval().to(chosen)
    return ListModel(
        folder.name,
        model,
        tokenizer,
        longest_input(folder, config, max_length),
        0,
        0,
        batch_tokens(chosen),
        precision="own code",
        activation=float,
        together=True,
        model=model,
    )
