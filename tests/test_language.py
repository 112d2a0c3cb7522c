"""The language of docstrings, comments and messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("storage", "ingest", "retrieval", "rerank", "generation", "winnow", "benchmarks")
# A docstring begins with what the thing does or is.
QUESTION_WORDS = {"What", "Whether", "How", "Where", "Who", "Which"}
UNUSUAL = re.compile(r"\b(anew|so many|stands)\b", re.IGNORECASE)


def _files(*endings: str) -> Iterator[Path]:
    for folder in FOLDERS:
        for ending in endings:
            yield from sorted((ROOT / folder).rglob(f"*{ending}"))


def _docstrings(path: Path) -> Iterator[tuple[str, str]]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield getattr(node, "name", path.stem), text


def test_docstrings_begin_with_what_a_thing_does() -> None:
    """No docstring begins with a question word."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}: {text.splitlines()[0]}"
        for path in _files(".py")
        for name, text in _docstrings(path)
        if text.split()[0] in QUESTION_WORDS
    ]
    assert wrong == []


def test_words_are_those_of_the_trade() -> None:
    """Turns that no native engineer would write are in no file of ours."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _files(".py", ".toml")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNUSUAL.search(line)
    ]
    assert wrong == []
