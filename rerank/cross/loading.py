"""Loading a cross-encoder by what its folder holds. torch is imported only where torch runs the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rerank.cross.models import PairModel

Backend = Literal["auto", "torch", "onnx"]


def load_pair_model(
    folder: Path,
    *,
    backend: Backend = "auto",
    device: str = "auto",
    max_length: int | None = None,
    exported: Path | None = None,
    trust_remote_code: bool = False,
) -> PairModel:
    """The cross-encoder in a folder. Raises ModelError for a model that is none.

    A folder without weights for torch, but with an ONNX file, runs that file on the CPU. `backend="onnx"`
    runs other sequence classifiers in int8, converted once into the folder `exported`.
    """
    if backend != "torch":
        from rerank.cross import onnx

        if file := onnx.ready_file(folder):
            return onnx.load_ready(folder, file, max_length)
        if backend == "onnx":
            return onnx.load_converted(folder, exported, max_length)
    from rerank.cross.torch_loading import load_torch_model

    return load_torch_model(folder, device=device, max_length=max_length, trust_remote_code=trust_remote_code)
