"""Loading a cross-encoder by what its folder holds. torch is imported only where torch runs the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rerank.cross.recognition import has_chat_template, recognised
from storage.errors import ModelError

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
            if has_chat_template(folder):
                raise ModelError(
                    f"{folder.name} writes its inputs by a chat template: such ONNX files do not run here",
                    way_out="Use a folder with weights for torch, or a server: api(profile=vllm).",
                )
            return onnx.load_ready(folder, file, max_length)
        if backend == "onnx":
            return onnx.load_converted(folder, exported, max_length)
    form = recognised(folder, trust_remote_code=trust_remote_code)
    if form.ranks_lists:
        from rerank.cross.own_code import load_list_model

        return load_list_model(folder, device=device, max_length=max_length)
    from rerank.cross.torch_loading import load_torch_model

    return load_torch_model(folder, device=device, max_length=max_length, trust_remote_code=trust_remote_code)
