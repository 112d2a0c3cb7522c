"""Recognises a model by its folder, before anything is loaded. Importing this takes no time.

sentence-transformers' files come first (`modules.json`: the modules in their order), then the architecture in
config.json. A causal model is a reranker only with a template for question and passage: without one in its
folder, it must be one of `published.toml`. Nothing is scored with another model's template.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from rerank.cross.models import read_config
from storage.errors import ModelError

_OWN = "sentence_transformers."
_RERANKERS = "Choose a reranker, such as cross-encoder/ms-marco-MiniLM-L12-v2."
_TRUST = "If you have read and trust it: trust_remote_code = true under [rerank] in winnow.toml."
_TOKENIZERS = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tokenization_*.py")
_HEAD = re.compile(r"classifi|score|head|out_proj|logits_proj|summary|fc\b|dense_final")
_LATE = "MultiVectorEncoder", "ColBERT"


@dataclass(frozen=True, slots=True)
class Published:
    """Settings that the folder of an older causal reranker leaves out; see `published.toml`."""

    name: str
    architectures: tuple[str, ...]
    yes: str
    template: str
    source: str
    no: str | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """A reranker's folder: its transformer's config, and `published` where its template is not in it."""

    config: dict[str, Any]
    published: Published | None = None
    ranks_lists: bool = False


def recognised(folder: Path, *, trust_remote_code: bool = False) -> Form:
    """The form of a cross-encoder's folder. Raises ModelError, which says what was looked for."""
    if is_late_interaction(folder):
        raise ModelError(
            f"{folder.name} is a late-interaction model, not a cross-encoder",
            way_out=f'Use late-interaction(model="{folder}").',
        )
    if (modules := _read(folder / "modules.json")) is not None:
        return _modular(folder, modules, trusted=trust_remote_code)
    _refuse_other_forms(folder)
    config = read_config(folder)
    architecture = str(next(iter(config.get("architectures") or []), ""))
    if config.get("auto_map") and not _known(architecture):
        if not trust_remote_code:
            _refuse_code(folder, f"its architecture, {architecture}, is not in transformers")
        if not architecture.endswith("ForCausalLM"):  # such a one still has to say how it reranks
            return Form(config, ranks_lists=not architecture.endswith("ForSequenceClassification"))
    if architecture.endswith("ForSequenceClassification"):
        _check_tokenizer(folder)
        _check_head(folder)
        # what `winnow train` made of a reranker reads pairs, without the template of its base
        own = config.get("winnow_input") == "pair"
        return Form(config, None if own else _published(folder, architecture))
    if not architecture.endswith("ForCausalLM"):
        raise ModelError(
            f"{folder.name} is not a cross-encoder: its architecture is {architecture or 'not given'}, "
            "and it has no modules.json that ends in a score",
            way_out=_RERANKERS,
        )
    published = _published(folder, architecture)
    if published is None and not _has_pair_template(folder):
        raise ModelError(
            f"{folder.name} is a causal model ({architecture}) that does not say how it reranks: it has no "
            "modules.json with LogitScore, no chat template for a query and a document, and neither its name "
            f"nor its card is one of {', '.join(sorted(_readable(one.name) for one in _all_published()))}",
            way_out="Save it with sentence-transformers' CrossEncoder, or run it behind a server that knows "
            "it: api(profile=vllm).",
        )
    _check_tokenizer(folder)
    return Form(config, published)


def _check_tokenizer(folder: Path) -> None:
    """Raise ModelError where the library would make one up."""
    if not any(found for form in _TOKENIZERS for found in folder.glob(form)):
        raise ModelError(
            f"{folder.name} has no tokenizer (looked for {', '.join(_TOKENIZERS)})",
            way_out="Fetch it again with all of its files.",
        )


def is_late_interaction(folder: Path) -> bool:
    """True for MultiVectorEncoder, PyLate and Stanford's ColBERT folders."""
    config, own = _read(folder / "config_sentence_transformers.json"), _read(folder / "config.json")
    modules = _read(folder / "modules.json")
    named = modules if isinstance(modules, list) else []
    types = [str(module.get("type")) for module in named if isinstance(module, dict)]
    return (
        (isinstance(config, dict) and config.get("model_type") in _LATE)
        or (isinstance(own, dict) and "HF_ColBERT" in (own.get("architectures") or []))
        or any("pylate." in kind or "MultiVector" in kind for kind in types)
    )


def has_chat_template(folder: Path) -> bool:
    """True where the folder's tokenizer writes its inputs by a template."""
    saved = _read(folder / "tokenizer_config.json")
    return (folder / "chat_template.jinja").is_file() or (
        isinstance(saved, dict) and "chat_template" in saved
    )


def _modular(folder: Path, modules: Any, *, trusted: bool) -> Form:
    if not isinstance(modules, list) or not all(isinstance(one, dict) for one in modules) or not modules:
        raise ModelError(f"{folder.name}: modules.json is not a list of modules")
    foreign = [str(one.get("type")) for one in modules if not str(one.get("type")).startswith(_OWN)]
    if foreign and not trusted:
        _refuse_code(folder, f"modules.json names {', '.join(foreign)}")
    last, own = modules[-1], folder / str(modules[-1].get("path", ""))
    kind = str(last.get("type")).rpartition(".")[2]
    if kind == "Transformer":
        saved = _read(own / "sentence_bert_config.json")
        task = saved.get("transformer_task") if isinstance(saved, dict) else None
        scores = task in (None, "sequence-classification")
    else:
        saved = _read(own / "config.json")
        output = saved.get("module_output_name") if isinstance(saved, dict) else None
        scores = kind == "LogitScore" or output == "scores" or bool(foreign)
    if not scores:
        raise ModelError(
            f"{folder.name} is not a cross-encoder: the last of its modules, {kind}, gives no score "
            "(looked for LogitScore, a Dense whose output is `scores`, sequence classification)",
            way_out=_RERANKERS,
        )
    config = read_config(folder / str(modules[0].get("path", "")))
    return Form(config)


def _refuse_other_forms(folder: Path) -> None:
    """Raise ModelError for what holds a part of a model, or one that another program runs."""
    if folder.suffix.lower() == ".gguf" or (folder.is_dir() and any(folder.glob("*.gguf"))):
        raise ModelError(
            f"{folder.name} is a GGUF model, which llama.cpp runs",
            way_out="Serve it with llama-server --reranking, and use api(profile=llamacpp).",
        )
    adapter = _read(folder / "adapter_config.json")
    if isinstance(adapter, dict) and not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder.name} is an adapter of {adapter.get('base_model_name_or_path')}, not a whole model",
            way_out="Merge it into its base (peft: merge_and_unload), save it with its tokenizer, and name "
            "that folder.",
        )


def _check_head(folder: Path) -> None:
    """Raise ModelError where the weights hold no head: transformers would make one at random."""
    names = _weights(folder)
    if names and not any(_HEAD.search(name) for name in names):
        raise ModelError(
            f"{folder.name} has weights without a head that scores (looked for classifier, score, head)",
            way_out=_RERANKERS,
        )


def _weights(folder: Path) -> list[str]:
    """The names of a folder's weights in safetensors; none where they cannot be read, which loading tells."""
    from safetensors import SafetensorError, safe_open

    found: list[str] = []
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, framework="numpy") as opened:
                found += opened.keys()
        except (OSError, SafetensorError):
            return []
    return found


def _refuse_code(folder: Path, why: str) -> NoReturn:
    raise ModelError(f"{folder.name} needs code that it brings along: {why}", way_out=_TRUST)


def _known(architecture: str) -> bool:
    import transformers

    return bool(architecture) and hasattr(transformers, architecture)


def _has_pair_template(folder: Path) -> bool:
    """True where a chat template speaks of a query and a document; loading tries it out."""
    saved, file = _read(folder / "tokenizer_config.json"), folder / "chat_template.jinja"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    text += str(saved.get("chat_template", "")) if isinstance(saved, dict) else ""
    return "query" in text and "document" in text


def _published(folder: Path, architecture: str) -> Published | None:
    names = [name.lower() for name in _names(folder)]
    return next(
        (
            one
            for one in _all_published()
            if architecture in one.architectures and any(re.fullmatch(one.name, name) for name in names)
        ),
        None,
    )


@cache
def _all_published() -> tuple[Published, ...]:
    text = files("rerank.cross").joinpath("published.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)["reranker"]
    return tuple(Published(**{**one, "architectures": tuple(one["architectures"])}) for one in found)


def _readable(pattern: str) -> str:
    return pattern.replace("[0-9.]+b(-seq-cls)?", "*").replace("(-reranker)?", "")


def _names(folder: Path) -> Iterator[str]:
    """The names of the model: by its folder, the hub's cache, its card's title, or as its card's base."""
    yield folder.name
    yield from (part.rpartition("--")[2] for part in folder.parts if part.startswith("models--"))
    try:
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    yield from (title.strip() for title in re.findall(r"^# (.+)$", card, re.MULTILINE)[:1])
    for base in re.findall(r"^base_model:\s*(?:-\s*)?[\"']?([\w./-]+)", card, re.MULTILINE):
        yield base.rpartition("/")[2]


def _read(path: Path) -> Any:
    """The content of a JSON file; None where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
