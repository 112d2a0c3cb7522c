"""What an encoder wants to read before a question and before a passage.

Asked without it, such a model finds noticeably less. What applies, side by side for question and passage: the
settings; else what the model's own files say; else what the model's family is known to want.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.errors import ModelError


@dataclass(frozen=True, slots=True)
class Prompts:
    """Put before every question, and before every passage; empty for none."""

    query: str = ""
    passage: str = ""

    def __str__(self) -> str:
        """For a collection's fingerprint: short prompts as they are, long ones hashed; empty for none."""
        if not (self.query or self.passage):
            return ""
        return f"query={_shown(self.query)} passage={_shown(self.passage)}"


_WEB_SEARCH = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
_REPRESENT = "Represent this sentence for searching relevant passages: "

# Families whose files often name no prompts (and whose server never adds any), by the model's name in lower
# case; the first that matches counts. From the models' own cards.
_FAMILIES: tuple[tuple[str, Prompts], ...] = (
    (r"e5-.*instruct|e5-mistral", Prompts(_WEB_SEARCH)),
    (r"\be5-(small|base|large)", Prompts("query: ", "passage: ")),
    (r"bge-(small|base|large)-en", Prompts(_REPRESENT)),
    (r"bge-(small|base|large)-zh", Prompts("为这个句子生成表示以用于检索相关文章：")),
    (r"qwen3-embedding", Prompts(_WEB_SEARCH.rstrip())),
    (r"nomic-embed-text", Prompts("search_query: ", "search_document: ")),
    (r"mxbai-embed-large", Prompts(_REPRESENT)),
    (r"arctic-embed-.*v2", Prompts("query: ")),
    (r"arctic-embed", Prompts(_REPRESENT)),
    (r"embeddinggemma", Prompts("task: search result | query: ", "title: none | text: ")),
)

# What the two sides are called in the models' files, the usual name first.
_QUERY_NAMES = ("query", "retrieval.query", "search_query", "web_search_query", "s2p_query")
_PASSAGE_NAMES = ("document", "passage", "retrieval.passage", "search_document")

_SHORT = 40


def family_prompts(model: str) -> Prompts:
    """What models of that name are known to want; none where nothing is known."""
    name = model.lower()
    return next((prompts for pattern, prompts in _FAMILIES if re.search(pattern, name)), Prompts())


def own_prompts(folder: Path) -> Prompts | None:
    """The prompts in a model's folder, or None where it names none. Raises ModelError for a damaged file."""
    path = folder / "config_sentence_transformers.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}", way_out="Install or fetch the model anew.") from error
    named = config.get("prompts") if isinstance(config, dict) else None
    if not isinstance(named, dict):
        return None
    found = Prompts(_first(named, _QUERY_NAMES), _first(named, _PASSAGE_NAMES))
    return found if found.query or found.passage else None


def chosen_prompts(
    model: str, own: Prompts | None, *, query: str | None = None, passage: str | None = None
) -> Prompts:
    """The prompts that apply; `query` and `passage` are the settings', where None leaves it to the model."""
    usual = own or family_prompts(model)
    return Prompts(
        usual.query if query is None else query,
        usual.passage if passage is None else passage,
    )


def _first(named: Mapping[str, object], names: tuple[str, ...]) -> str:
    return next((text for name in names if isinstance(text := named.get(name), str) and text), "")


def _shown(text: str) -> str:
    if len(text) <= _SHORT:
        return json.dumps(text, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
