"""Cross-encoders in int8 through ONNX Runtime: faster on a CPU, at nearly the same scores.

The model is exported and quantised once (dynamic, per channel) into a folder of winnow's, by the weights'
hash and the scheme. Weights have seven bits: on a CPU with AVX2 or AVX-512 but no VNNI, ONNX Runtime adds two
products of an unsigned and a signed byte in 16 bits, and with full bytes that saturates. With seven bits the
largest sum, 2 * 255 * 64, fits, so that every CPU computes the same integers.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from rerank.cross.loading import load_pair_model
from rerank.cross.models import Classifier, PairModel, as_log_odds
from storage.errors import MissingDependencyError, ModelError, SettingsError
from storage.vectors import Floats

if TYPE_CHECKING:
    import onnxruntime

# Names how models are quantised: another name makes every export, and every score that is kept, again.
SCHEME = "int8-7bit"
# Files of schemes before end in these; the first held full bytes.
_EARLIER = ("int8",)
_OPSET = 18


@lru_cache(maxsize=4)
def load_onnx_model(folder: Path, exported: Path | None, *, max_length: int | None = None) -> PairModel:
    """A sequence-classification reranker in int8. Raises ModelError, MissingDependencyError."""
    runtime = _runtime()
    if exported is None:
        raise SettingsError(
            "cross-encoder(backend=onnx) keeps an exported model, and no folder is given for it"
        )
    model = load_pair_model(folder, device="cpu", max_length=max_length)
    if model.template is not None or not isinstance(model.forward, Classifier):
        raise ModelError(f"{folder.name} is a causal model: only sequence classification runs in int8")
    stem = f"{folder.name}-{_weights_hash(folder)}"
    file = exported / f"{stem}-{SCHEME}.onnx"
    if not file.is_file():
        _export(model.forward, file)
        for scheme in _EARLIER:
            with suppress(OSError):  # a process that still has it open may keep it
                (exported / f"{stem}-{scheme}.onnx").unlink()
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return replace(model, forward=_Session(session))


class _Session:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._names = [given.name for given in session.get_inputs()]

    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:
        fields = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        return as_log_odds(self._session.run(None, {name: fields[name] for name in self._names})[0])


def _runtime() -> Any:
    try:
        import onnx  # noqa: F401 - the export needs it
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            f"cross-encoder(backend=onnx) needs {error.name}", way_out="pip install 'winnow-rag[onnx]'"
        ) from error
    return onnxruntime


def _weights_hash(folder: Path) -> str:
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), folder / "config.json"])
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]


def _export(forward: Classifier, file: Path) -> None:
    """Export in float32, quantise, and move the result into place at the very end."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent) as work, _quiet():
        whole, small = Path(work) / "float32.onnx", Path(work) / "int8.onnx"
        torch.onnx.export(
            _Positional(forward).eval(),
            tuple(torch.ones(2, 8, dtype=torch.long) for _ in forward.fields),
            str(whole),
            input_names=list(forward.fields),
            output_names=["logits"],
            dynamic_axes={name: {0: "rows", 1: "tokens"} for name in forward.fields},
            opset_version=_OPSET,
            dynamo=False,
        )
        quantize_dynamic(
            str(whole), str(small), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
        )
        small.replace(file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without two pieces of advice that do not help here.

    The exporter that traces is said to be old, but needs no further package and gives the same graph; a
    pre-processing is recommended that gains nothing on these models.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


class _Positional(torch.nn.Module):
    """The model with its inputs by position, as the exporter wants them."""

    def __init__(self, forward: Classifier) -> None:
        super().__init__()
        self.model = forward.model
        self.fields = forward.fields

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.model(**dict(zip(self.fields, inputs, strict=True))).logits
