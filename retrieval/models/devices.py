"""Chooses the device and the precision of a model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from storage.errors import ModelError

Precision = Literal["float32", "float16", "bfloat16"]

# Their activations exceed the range of float16; vectors would be infinite or NaN.
_WIDE_RANGE = ("t5", "gemma")


def has_gpu() -> bool:
    """True where torch may find a GPU of NVIDIA's; asking torch itself would mean to load it."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def chosen_device(wanted: str) -> str:
    """The wanted device; `auto` is the first available of cuda, mps and cpu. Raises ModelError."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return device_among(there, wanted)


def device_among(there: Mapping[str, bool], wanted: str) -> str:
    """The wanted device, or for `auto` the first available. Raises ModelError if it is not."""
    usable = [name for name, is_there in there.items() if is_there]
    if wanted == "auto":
        return usable[0]
    if wanted not in usable:
        raise ModelError(
            f"the device {wanted!r} is not available (this torch sees: {', '.join(usable)})",
            way_out='Set encoder.device = "auto", or install a torch that is built for it.',
        )
    return wanted


def precision(device: str, config: Mapping[str, Any], *, bfloat16: bool) -> Precision:
    """The precision for a model; `config` is its config.json, `bfloat16` says that the GPU supports it.

    On a GPU of NVIDIA's half precision: float16, whose eleven significant bits move a cosine in the fourth
    decimal, or bfloat16 for models that were published in it or need its range. Elsewhere float32: a CPU is
    many times slower in half precision, and on `mps` it has not been measured.
    """
    if device != "cuda":
        return "float32"
    published = str(config.get("dtype") or config.get("torch_dtype") or "")
    kind = str(config.get("model_type") or "")
    if "bfloat16" in published or any(family in kind for family in _WIDE_RANGE):
        return "bfloat16" if bfloat16 else "float32"
    return "float16"


def torch_dtype(device: str, config: Mapping[str, Any]) -> Any:
    """`precision` as torch's type, for this machine's GPU."""
    import torch

    has = device == "cuda" and torch.cuda.is_bf16_supported()
    return getattr(torch, precision(device, config, bfloat16=has))
