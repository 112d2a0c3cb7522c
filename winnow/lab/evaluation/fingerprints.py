"""Cache keys of results. They change with everything that could change the result."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank.registry import STRATEGIES, strategy
from rerank.spec import Spec
from storage.errors import SpecError

if TYPE_CHECKING:
    from winnow.app.settings import Settings

# Libraries whose version may move a score.
_LIBRARIES = ("torch", "onnxruntime", "transformers", "sentence-transformers", "qdrant-edge-py", "openai")


def key(*parts: Any) -> str:
    """A hash of all arguments."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def retrieval_key(index: str, mode: str, top_k: int) -> str:
    """Names the candidates of one leg over one index."""
    return key("retrieval", index, mode, top_k, code("retrieval"), code("storage"), _versions())


def rerank_key(candidates: str, spec: Spec, settings: Settings) -> str:
    """Names a strategy's rankings of given candidates: code, models and settings included."""
    return key("rerank", candidates, str(spec), _stages(spec), code("rerank"), _models(settings), _versions())


def answers_key(ranking: str, answerer: str, settings: Settings) -> str:
    """Names an answerer's answers from given rankings."""
    return key("answers", ranking, answerer, code("generation"), _models(settings), _versions())


@lru_cache
def code(package: str) -> str:
    """A digest of a package's files, prompts included."""
    spec = find_spec(package)
    roots = list(spec.submodule_search_locations or []) if spec else []
    digest = hashlib.sha256()
    for root in roots:
        for path in sorted(Path(root).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _stages(spec: Spec) -> list[Any]:
    """The code of strategies, and the state of the local files that their options name."""
    return [
        (
            "" if stage.name in STRATEGIES else code(strategy(stage.name).__module__.partition(".")[0]),
            [_option(value) for _, value in stage.options if isinstance(value, str)],
        )
        for stage in spec.stages
    ]


def _option(value: str) -> list[Any]:
    """The files or the nested specs (fusion) that an option's text names."""
    try:
        nested = [_stages(Spec.parse(part)) for part in value.split(";") if "(" in part]
    except SpecError:
        nested = []
    return [_state(value), nested]


def _state(value: str) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files at a path, which change when a model is retrained in its folder."""
    try:
        path = Path(value).expanduser()
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        return [(file.as_posix(), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except (OSError, RuntimeError):  # most texts are not paths
        return []


def _models(settings: Settings) -> Any:
    # paths, and settings that the command's options replace, change no score
    elsewhere: Any = {"data_dir", "collection", "profile", "store", "retrieval", "log"}
    return settings.model_dump(mode="json", exclude=elsewhere)


def _versions() -> list[str]:
    return [version(library) for library in _LIBRARIES]
