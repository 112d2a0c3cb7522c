"""Converts a cross-encoder in torch to int8 ONNX (dynamic, per channel). Importing this takes seconds.

Weights have seven bits: on a CPU with AVX2 or AVX-512 but no VNNI, ONNX Runtime adds two products of an
unsigned and a signed byte in 16 bits, and with full bytes that saturates. With seven bits the largest sum,
2 * 255 * 64, fits, so that every CPU computes the same integers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from rerank.cross.torch_loading import load_torch_model
from rerank.cross.torch_models import Classifier
from storage.errors import ModelError

_OPSET = 18


def export(folder: Path, file: Path) -> None:
    """Export in float32, quantise, and move the result into place at the very end. Raises ModelError."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = load_torch_model(folder, device="cpu")
    forward = model.forward
    if model.template is not None or not isinstance(forward, Classifier):
        raise ModelError(f"{folder.name} is a causal model: only sequence classification runs in int8")
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
