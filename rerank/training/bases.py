"""Bases of a training: a cross-encoder to continue from, an encoder, or a language model.

Imported only where something is trained: torch and sentence-transformers take seconds.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import torch

from rerank.cross.models import longest_input, read_config
from rerank.cross.torch_models import chosen_device, translated
from storage.errors import BadInputError, MissingDependencyError, ModelError

Kind = Literal["cross-encoder", "encoder", "language model"]

# The usual limit for questions and passages; longer inputs are truncated, and reported.
_USUAL_LENGTH = 512
_RANK = 16


@dataclass(frozen=True, slots=True)
class TrainingBase:
    """A model ready for training. `lora` is the adapters' rank, 0 where all weights learn."""

    model: Any
    kind: Kind
    max_length: int
    lora: int
    adapters: Any = None

    def merged(self) -> Any:
        """The model with adapters merged into the weights, so that using it does not need `peft`."""
        if self.adapters is not None:
            self.adapters.merge_and_unload()
        return self.model

    @property
    def parameters(self) -> tuple[int, int]:
        """The number of weights that learn, and of all weights."""
        sizes = [(p.numel(), p.requires_grad) for p in self.model.parameters()]
        return sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)


def check_extra() -> None:
    """Raises MissingDependencyError where the extra `[train]` is not installed."""
    missing = [name for name in ("accelerate", "datasets") if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"training needs {' and '.join(missing)}", way_out="Install it: pip install 'winnow-rag[train]'"
        )


def kind_of(folder: Path) -> Kind:
    """The kind of a model folder. Raises ModelError for models that cannot become a cross-encoder."""
    config = read_config(folder)
    architecture = str(next(iter(config.get("architectures") or []), ""))
    if architecture.endswith("ForCausalLM"):
        return "language model"
    if architecture.endswith("ForSequenceClassification"):
        labels = len(config.get("id2label") or {}) or int(config.get("num_labels") or 1)
        if labels != 1:
            raise ModelError(
                f"{folder.name} tells {labels} classes apart, and training needs a single score",
                way_out="Start from its encoder, or from a reranker with one label.",
            )
        return "cross-encoder"
    if not architecture or "EncoderDecoder" in architecture or "ConditionalGeneration" in architecture:
        raise ModelError(f"{folder.name} is no base for a cross-encoder: {architecture or 'no architecture'}")
    return "encoder"


def load_base(
    folder: Path,
    scratch: Path,
    *,
    device: str = "auto",
    max_length: int | None = None,
    lora: int | None = None,
    freeze: int = 0,
    seed: int = 0,
) -> TrainingBase:
    """The base in a folder, with a new head (drawn by `seed`) where it has none.

    `lora`: the rank of low-rank adapters (Hu et al. 2021, arXiv 2106.09685), 0 for all weights; None: 16 for
    language models, 0 for others. `freeze`: the number of lowest layers that, like the embeddings, do
    not learn. `scratch` is a folder for files that loading needs. Raises ModelError, MissingDependencyError,
    BadInputError where there is no such layer.
    """
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer

    kind = kind_of(folder)
    rank = (_RANK if kind == "language model" else 0) if lora is None else lora
    limit = longest_input(folder, read_config(folder), max_length)
    length = limit if max_length is not None else min(limit, _USUAL_LENGTH)
    on_gpu = chosen_device(device) == "cuda"
    torch.manual_seed(seed)
    with translated(folder), hushed():
        source = _with_pairs(folder, scratch) if kind == "language model" else folder
        transformer = Transformer(
            str(source),
            transformer_task="sequence-classification",
            model_kwargs={
                "local_files_only": True,
                # frozen weights need no precision; what learns keeps all of it
                "dtype": torch.bfloat16 if rank and on_gpu else torch.float32,
                # on a CPU the backward pass of the fused kernel takes several times as long
                **({} if on_gpu else {"attn_implementation": "eager"}),
            },
            processor_kwargs={"local_files_only": True, "model_max_length": length},
            config_kwargs={"local_files_only": True, "num_labels": 1},
        )
        model: Any = CrossEncoder(modules=[transformer], device=chosen_device(device))
        if kind == "language model":
            config = model.transformers_model.config
            config.pad_token_id = model.tokenizer.pad_token_id
            config.winnow_input = "pair"  # `rerank.cross` then reads pairs, no template of the base's
        if freeze:
            _freeze(model.transformers_model, freeze, rank)
        adapters = _adapted(model.transformers_model, rank) if rank else None
    return TrainingBase(model, kind, length, rank, adapters)


def _freeze(model: Any, layers: int, rank: int) -> None:
    """No gradients for the embeddings and the lowest layers, which also saves their backward pass."""
    if rank:
        raise BadInputError(
            "with low-rank adapters the base's own weights do not learn anyway",
            way_out="Leave --freeze out, or train the weights themselves: --lora 0.",
        )
    deep = int(model.config.num_hidden_layers)
    stack = next(
        (m for m in model.base_model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == deep), None
    )
    if stack is None or layers >= deep:
        raise BadInputError(
            f"of {deep} layers {layers} cannot be frozen"
            if stack
            else "no layers are known that can be frozen",
            way_out=f"Give --freeze a number below {deep}." if stack else "Leave --freeze out.",
        )
    embeddings = getattr(model.base_model, "embeddings", model.get_input_embeddings())
    for part in (embeddings, *stack[:layers]):
        part.requires_grad_(False)


def _adapted(model: Any, rank: int) -> Any:
    if find_spec("peft") is None:
        raise MissingDependencyError(
            "low-rank adapters need peft", way_out="Install it: pip install 'winnow-rag[train]', or --lora 0."
        )
    from peft import LoraConfig, TaskType, get_peft_model

    chosen = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.05,
        target_modules="all-linear",
    )
    with warnings.catch_warnings():
        # peft still uses a name that transformers is going to drop
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, chosen)


def _with_pairs(folder: Path, scratch: Path) -> Path:
    """A language model's folder whose tokenizer joins two texts with the end-of-text token between them.

    Otherwise question and passage would not be separated. The model's files are linked, not copied.
    """
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    own: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    backend = getattr(own, "backend_tokenizer", None)
    end = own.eos_token or own.pad_token
    if backend is None or end is None:
        raise ModelError(f"the tokenizer of {folder.name} has no end-of-text token, or is not a fast one")
    begin = own.bos_token if own.bos_token_id in own("a").input_ids[:1] else None
    first = f"{begin} " if begin else ""
    backend.post_processor = TemplateProcessing(
        single=f"{first}$A {end}",
        pair=f"{first}$A {end} $B {end}",
        special_tokens=[(t, own.convert_tokens_to_ids(t)) for t in dict.fromkeys((begin, end)) if t],
    )
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    names = {
        name: token for name in ("bos_token", "eos_token", "unk_token") if (token := getattr(own, name, None))
    }
    plain: Any = cast("Any", PreTrainedTokenizerFast)(
        tokenizer_object=backend, padding_side="right", pad_token=own.pad_token or end, **names
    )
    plain.model_input_names = ["input_ids", "attention_mask"]
    plain.save_pretrained(scratch)
    for path in folder.resolve().iterdir():
        if not (scratch / path.name).exists() and (path.suffix == ".safetensors" or path.name in _FILES):
            (scratch / path.name).symlink_to(path.resolve())
    return scratch


_FILES = frozenset({"config.json", "model.safetensors.index.json", "pytorch_model.bin"})


@contextmanager
def hushed() -> Iterator[None]:
    """Keeps the library's remarks (on the new head, for one) and bars off the terminal."""
    from transformers.utils import logging

    library: Any = logging  # without types
    level, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()
