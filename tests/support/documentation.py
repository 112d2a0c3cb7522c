"""The code blocks of the documentation, with their kind, their place and why one is not run.

A block is not run where the line before it is `<!-- not run: why -->`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FILES = ("README.md", "README.zh-CN.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md")))

_MARK = re.compile(r"<!-- not run: (.+?) -->")
_FENCE = re.compile(r"^```(\w*)")
_SHELL = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?:winnow|pip|make|curl|docker|sqlite3|claude|datasette|export|python) "
)
_KINDS = {"bash": "shell", "sh": "shell", "python": "python", "toml": "toml", "json": "json", "sql": "sql"}


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: `kind` is shell, python, toml, json, sql or text; `reason` is why it is not run."""

    file: str
    line: int
    kind: str
    text: str
    reason: str = ""


def blocks(files: tuple[str, ...] = FILES) -> Iterator[Block]:
    """Yield every block, fenced or indented, in order."""
    for name in files:
        lines = (ROOT / name).read_text(encoding="utf-8").split("\n")
        number, reason = 0, ""
        while number < len(lines):
            line = lines[number]
            if found := _MARK.fullmatch(line.strip()):
                reason = found[1]
            elif fence := _FENCE.match(line):
                end = next(n for n in range(number + 1, len(lines)) if lines[n].startswith("```"))
                text = "\n".join(lines[number + 1 : end])
                yield Block(name, number + 2, _kind(fence[1], text), text, reason)
                number, reason = end, ""
            elif line.startswith("    ") and (number == 0 or not lines[number - 1].strip()):
                end = number
                while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                    end += 1
                text = "\n".join(one[4:] for one in lines[number:end]).rstrip()
                yield Block(name, number + 1, _kind("", text), text, reason)
                number, reason = end - 1, ""
            elif line.strip():
                reason = ""
            number += 1


def _kind(named: str, text: str) -> str:
    if named:
        return _KINDS.get(named, named)
    first = text.partition("\n")[0]
    if _SHELL.match(first):
        return "shell"
    if first.startswith("SELECT "):
        return "sql"
    if first.startswith(("from ", "import ")):
        return "python"
    return "toml" if re.match(r"\[\w+\]$", first) else "text"


def shell_lines(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the lines of a shell block with their numbers, those that go on with a backslash joined."""
    whole, begun = "", block.line
    for number, line in enumerate(block.text.split("\n"), block.line):
        begun = begun if whole else number
        whole += line
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        if whole.strip():
            yield begun, whole.strip()
        whole = ""


def commands(block: Block) -> Iterator[tuple[int, list[str]]]:
    """Yield the words after each `winnow` of a shell block, with the number of its line."""
    for number, line in shell_lines(block):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in (";", "&&", "|", "||", ";;"):
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    del words[0]
                if words[:1] == ["winnow"]:
                    yield number, words[1:]
                words = []
            elif set(word) <= set("()<>"):
                continue
            else:
                words.append(word)
