"""Cross-encoders in torch: the parts that the kinds of them share. Importing this takes seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from rerank.cross.models import Forward, as_log_odds
from rerank.cross.parallel import ParallelForward
from storage.cores import available_cores
from storage.errors import ModelError
from storage.vectors import Floats

# On a CPU padding costs more than large batches gain. A deadline is looked at between passes.
_CPU_TOKENS = 1_024
_CPU_TOKENS_A_CORE = 2_048
_GPU_BATCH_TOKENS = 65_536


class Classifier:
    """One logit, or the difference of two. `fields` are the model's inputs, in order."""

    def __init__(self, model: Any, device: str, fields: Sequence[str]) -> None:
        self.model = model
        self.fields = tuple(fields)
        self._device = device

    @torch.inference_mode()
    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        given = {name: torch.from_numpy(values[name]).to(self._device) for name in self.fields}
        return as_log_odds(self.model(**given).logits.float().cpu().numpy())


class Modules:
    """All modules of a CrossEncoder, one after the other. Causal ones are padded on the left."""

    def __init__(
        self, model: Any, device: str, fields: Sequence[str], *, modality: str, causal: bool
    ) -> None:
        self.model = model
        self.fields = tuple(fields)
        self._device = device
        self._modality = modality
        self._causal = causal

    @torch.inference_mode()
    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        given: dict[str, Any] = {"modality": self._modality}
        if self._causal:
            given["logits_to_keep"] = 1
            room = ids.shape[1] - mask.sum(axis=1, keepdims=True)
            places = (np.arange(ids.shape[1]) - room) % ids.shape[1]
            values = {name: np.take_along_axis(rows, places, axis=1) for name, rows in values.items()}
        given |= {name: torch.from_numpy(values[name]).to(self._device) for name in self.fields}
        return as_log_odds(self.model(given)["scores"].float().cpu().numpy())


def fields_of(names: Sequence[str]) -> list[str]:
    """The inputs of a model whose tokenizer gives these names."""
    return ["input_ids", "attention_mask", *(["token_type_ids"] if "token_type_ids" in names else [])]


def batch_tokens(device: str) -> int:
    """The tokens of one pass, padding included."""
    return _CPU_TOKENS_A_CORE * _cores() if device == "cpu" else _GPU_BATCH_TOKENS


def on_all_cores(forward: Forward, device: str) -> Forward:
    """On a CPU, the same forward on parts of a batch, a core each."""
    return ParallelForward(forward, _cores(), _CPU_TOKENS) if device == "cpu" else forward


def _cores() -> int:
    return min(available_cores(), torch.get_num_threads())


def chosen_device(device: str) -> str:
    """The device for `auto`: a GPU where there is one."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Tokenizer:
    """The folder's fast tokenizer, without saved truncation and padding."""
    from transformers import AutoTokenizer

    wrapped = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=trust_remote_code, local_files_only=True
    )
    return backend_tokenizer(folder, wrapped)


def backend_tokenizer(folder: Path, wrapped: Any) -> Tokenizer:
    """A copy of a fast tokenizer, without truncation and padding. Raises ModelError for a slow one."""
    backend = getattr(wrapped, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"{folder.name} has no fast tokenizer (tokenizer.json)")
    tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn the errors of loading a model into ModelError, and keep the library's progress bar off."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    library: Any = logging  # without types
    shown = library.is_progress_bar_enabled()
    library.disable_progress_bar()
    try:
        yield
    except ModelError:
        raise
    except (
        OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, TypeError, SafetensorError
    ) as error:  # fmt: skip
        raise ModelError(
            f"the reranker in {folder} cannot be loaded: {error}",
            way_out="Fetch it again (winnow models fetch), or choose another: winnow rerankers list.",
        ) from error
    finally:
        if shown:
            library.enable_progress_bar()
