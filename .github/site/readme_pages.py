"""Hooks of mkdocs: the README files are the first pages, and links to what is not in docs/ become text."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
READMES = {"index.md": "README.md", "index.zh.md": "README.zh-CN.md"}
_LINK = re.compile(r"(?P<image>!?)\[(?P<words>[^\]]*)\]\((?P<to>[^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the README files."""
    for name, readme in READMES.items():
        text = (ROOT / readme).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_links(text, in_readme=True)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Rewrite the links of a page of docs/ that lead out of it."""
    return _links(markdown, in_readme=False)


def _links(markdown: str, *, in_readme: bool) -> str:
    return _LINK.sub(lambda link: _link(link, in_readme=in_readme), markdown)


def _link(link: re.Match[str], *, in_readme: bool) -> str:
    to, words = link["to"], link["words"]
    if re.match(r"[a-z]+:|#", to):
        return link[0]
    path, mark, anchor = to.partition("#")
    if in_readme and path in READMES.values():
        path = next(name for name, readme in READMES.items() if readme == path)
    elif in_readme and path.startswith("docs/"):
        path = path.removeprefix("docs/")
    elif in_readme or ".." in PurePosixPath(path).parts:
        return words  # a file of the repository
    return f"{link['image']}[{words}]({path}{mark}{anchor})"
