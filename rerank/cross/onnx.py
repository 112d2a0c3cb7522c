"""Cross-encoders through ONNX Runtime, without torch: from a file in the folder, or converted to int8 once.

Every pair is read alone, as many at a time as there are cores. So nothing is padded, no core waits for
another within a layer, and int8's scales, which are chosen for what is read at once, are the pair's own: its
score does not depend on which others are read.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from rerank.cross.models import PairModel, as_log_odds, longest_input, read_config
from storage.cores import available_cores
from storage.errors import ModelError, SettingsError
from storage.memory import give_back
from storage.vectors import Floats

if TYPE_CHECKING:
    import onnxruntime

# Names how models are quantised: another name makes every export, and every score that is kept, again.
_SCHEME = "int8-7bit"
# Files of schemes before end in these; the first held full bytes.
_EARLIER = ("int8",)
# Where repositories keep the model, in the order of preference.
_FILES = ("model.onnx", "onnx/model.onnx")
_WEIGHTS = ("*.safetensors", "*.bin")
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
# A pass takes about as long whatever the number of cores: a deadline is looked at between passes.
_TOKENS_A_CORE = 2_048
# Its kernel takes nine times as long as a sum and a layer normalisation (ONNX Runtime 1.32, AVX-512).
_SLOWER = ["SkipLayerNormFusion"]


def ready_file(folder: Path) -> Path | None:
    """The ONNX model of a folder that has its own tokenizer and no weights for torch."""
    if any(any(folder.glob(kind)) for kind in _WEIGHTS) or not (folder / "tokenizer.json").is_file():
        return None
    return next((file for name in _FILES if (file := folder / name).is_file()), None)


@lru_cache(maxsize=4)
def load_ready(folder: Path, file: Path, max_length: int | None) -> PairModel:
    """The model in an ONNX file; config.json may be missing. Raises ModelError."""
    config = read_config(folder) if (folder / "config.json").is_file() else {}
    return _pair_model(folder, file, longest_input(folder, config, max_length), "onnx")


@lru_cache(maxsize=4)
def load_converted(folder: Path, exported: Path | None, max_length: int | None) -> PairModel:
    """A sequence-classification reranker in int8, converted to it the first time. Raises ModelError."""
    if exported is None:
        raise SettingsError(
            "cross-encoder(backend=onnx) keeps an exported model, and no folder is given for it"
        )
    longest = longest_input(folder, read_config(folder), max_length)
    stem = f"{folder.name}-{_weights_hash(folder)}"
    file = exported / f"{stem}-{_SCHEME}.onnx"
    if not file.is_file():
        from rerank.cross.export import export

        export(folder, file)
        for scheme in _EARLIER:
            with suppress(OSError):  # a process that still has it open may keep it
                (exported / f"{stem}-{scheme}.onnx").unlink()
    return _pair_model(folder, file, longest, f"onnx-{_SCHEME}")


def _pair_model(folder: Path, file: Path, longest: int, precision: str) -> PairModel:
    tokenizer, cores = _tokenizer(folder), available_cores()
    return PairModel(
        folder.name,
        _Session(_opened(file), ThreadPoolExecutor(cores)),
        tokenizer,
        longest,
        tokenizer.num_special_tokens_to_add(is_pair=True),
        0,
        cores * _TOKENS_A_CORE,
        precision=precision,
    )


class _Session:
    """A Forward that reads every row alone, without its padding."""

    def __init__(self, session: onnxruntime.InferenceSession, pool: ThreadPoolExecutor) -> None:
        self._session = session
        self._pool = pool
        self._names = [given.name for given in session.get_inputs()]

    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:
        fields = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        chosen = {name: fields[name] for name in self._names}

        def logits(row: int) -> Floats:
            length = mask[row].sum()
            own = {name: values[row : row + 1, :length] for name, values in chosen.items()}
            found: Floats = self._session.run(None, own)[0]
            return found

        return as_log_odds(np.concatenate(list(self._pool.map(logits, range(len(ids))))))


def _opened(file: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the rows run side by side
    options.enable_cpu_mem_arena = False  # it would keep the most that any pair has needed
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER
        )
    except Exception as error:  # the runtime's errors have no common class
        raise ModelError(f"the reranker in {file} cannot be loaded: {error}") from error
    give_back()
    shape, inputs = session.get_outputs()[0].shape, {given.name for given in session.get_inputs()}
    if not inputs <= _INPUTS or len(shape) != 2 or (isinstance(shape[1], int) and shape[1] > 2):
        wants = ", ".join(sorted(inputs))
        raise ModelError(f"{file} maps {wants} to scores of shape {shape}: it is not a reranker")
    return session


def _tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer, without saved truncation and padding."""
    file = folder / "tokenizer.json"
    if file.is_file():
        tokenizer = Tokenizer.from_file(str(file))
    else:
        from rerank.cross.torch_models import load_tokenizer

        tokenizer = load_tokenizer(folder)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # [SEP] in a passage is text
    return tokenizer


def _weights_hash(folder: Path) -> str:
    # a model of modules has a folder for each
    kinds = [*_WEIGHTS, "*/*.safetensors", "*/config.json"]
    files = sorted([*(file for kind in kinds for file in folder.glob(kind)), folder / "config.json"])
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]
