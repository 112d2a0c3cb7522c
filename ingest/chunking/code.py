"""The grammars by which source code is cut: between functions and statements, not within them."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

# A language, as in the MIME type `text/x-LANGUAGE`: the module of its tree-sitter grammar, and its function.
_GRAMMARS = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "java": ("tree_sitter_java", "language"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "shell": ("tree_sitter_bash", "language"),
}


def is_code(mime: str) -> bool:
    """True for the MIME type of source code whose grammar is known here, installed or not."""
    return mime.removeprefix("text/x-") in _GRAMMARS


@cache
def grammar(mime: str) -> Any:
    """The grammar of a MIME type; None where there is none, or the extra `code` is not installed."""
    module, function = _GRAMMARS.get(mime.removeprefix("text/x-"), ("", ""))
    if not module:
        return None
    try:
        return getattr(importlib.import_module(module), function)()
    except ImportError:
        return None
