"""Prompts: the texts that an encoder expects before a question and before a passage.

Without them such a model finds noticeably less. For question and passage separately, the settings apply;
otherwise the model's own files; otherwise the known prompts of the model's family.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retrieval.models.locate import model_json


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts before every question and every passage; empty for none."""

    query: str = ""
    passage: str = ""

    def __str__(self) -> str:
        """For a collection's fingerprint: short prompts as they are, long ones hashed; empty for none."""
        if not (self.query or self.passage):
            return ""
        return f"query={_abbreviated(self.query)} passage={_abbreviated(self.passage)}"


_WEB_SEARCH = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
_REPRESENT = "Represent this sentence for searching relevant passages: "

# Families whose files often name no prompts (and whose servers never add any), by the model's name in lower
# case; the first match counts. Source: the models' cards.
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

# Names of the two prompts in models' files, the usual one first.
_QUERY_NAMES = ("query", "retrieval.query", "search_query", "web_search_query", "s2p_query")
_PASSAGE_NAMES = ("document", "passage", "retrieval.passage", "search_document")

_SHORT = 40


def family_prompts(model: str) -> Prompts:
    """The known prompts of models of that name; empty if unknown."""
    name = model.lower()
    return next((prompts for pattern, prompts in _FAMILIES if re.search(pattern, name)), Prompts())


def own_prompts(folder: Path) -> Prompts | None:
    """The prompts in a model's folder; None if it names none. Raises ModelError for a damaged file."""
    config = model_json(folder / "config_sentence_transformers.json")
    named = config.get("prompts") if isinstance(config, dict) else None
    if not isinstance(named, dict):
        return None
    found = Prompts(_first(named, _QUERY_NAMES), _first(named, _PASSAGE_NAMES))
    return found if found.query or found.passage else None


def chosen_prompts(
    model: str, own: Prompts | None, *, query: str | None = None, passage: str | None = None
) -> Prompts:
    """The prompts that apply; `query` and `passage` are the settings', None for the model's own."""
    usual = own or family_prompts(model)
    return Prompts(
        usual.query if query is None else query,
        usual.passage if passage is None else passage,
    )


def _first(named: Mapping[str, object], names: tuple[str, ...]) -> str:
    return next((text for name in names if isinstance(text := named.get(name), str) and text), "")


def _abbreviated(text: str) -> str:
    if len(text) <= _SHORT:
        return json.dumps(text, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
