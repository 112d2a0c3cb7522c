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

import numpy as np
import torch

from rerank.cross.models import as_log_odds
from rerank.cross.parallel import ParallelForward
from rerank.cross.torch_loading import load_torch_model
from rerank.cross.torch_models import Classifier, Modules
from storage.errors import ModelError

_OPSET = 18


def export(folder: Path, file: Path) -> None:
    """Export in float32, quantise, and move the result into place at the very end. Raises ModelError."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = load_torch_model(folder, device="cpu")
    forward = model.forward.forward if isinstance(model.forward, ParallelForward) else model.forward
    if model.template is not None or not isinstance(forward, (Classifier, Modules)):
        raise ModelError(
            f"{folder.name} writes its inputs by a template, as causal models do: it does not run in int8"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent) as work, _quiet():
        whole, small = Path(work) / "float32.onnx", Path(work) / "int8.onnx"
        torch.onnx.export(
            _Positional(forward).eval(),
            # as long as it reads: masks of a window, or of nothing, would otherwise be drawn for short inputs
            tuple(torch.ones(2, model.max_tokens, dtype=torch.long) for _ in forward.fields),
            str(whole),
            input_names=list(forward.fields),
            output_names=["logits"],
            dynamic_axes={name: {0: "rows", 1: "tokens"} for name in forward.fields},
            opset_version=_OPSET,
            dynamo=False,
        )
        _check(whole, forward, folder, model.max_tokens)
        quantize_dynamic(
            str(whole), str(small), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
        )
        small.replace(file)


def _check(file: Path, forward: Classifier | Modules, folder: Path, longest: int) -> None:
    """Raises ModelError where the exported graph gives other scores than torch, for short or long inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for tokens in (4, longest // 2 + 1, longest):
        ids = (np.arange(tokens, dtype=np.int64)[None, :] * 7 + 5) % 100
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        found = session.run(None, {name: inputs[name] for name in forward.fields})[0]
        expected = forward(*inputs.values())
        if not np.allclose(as_log_odds(found), expected, atol=1e-3):
            raise ModelError(
                f"{folder.name} scores {tokens} tokens otherwise in ONNX than in torch: it is not converted",
                way_out="Run it as it is: leave backend=onnx out.",
            )


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

    def __init__(self, forward: Classifier | Modules) -> None:
        super().__init__()
        self.model = forward.model
        self.fields = forward.fields
        self.modules_of_its_own = isinstance(forward, Modules)

    def forward(self, *inputs: torch.Tensor) -> Any:
        given: dict[str, Any] = dict(zip(self.fields, inputs, strict=True))
        return self.model(given)["scores"] if self.modules_of_its_own else self.model(**given).logits
