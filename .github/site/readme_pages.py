"""Hooks of mkdocs: the README files are the first pages, and links to what is not in docs/ become text."""

from __future__ import annotations

import atexit
import re
from pathlib import Path, PurePosixPath
from shutil import copytree, rmtree
from tempfile import mkdtemp
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
READMES = {"index.md": "README.md", "index.zh.md": "README.zh-CN.md"}
_LINK = re.compile(r"(?P<image>!?)\[(?P<words>[^\]]*)\]\((?P<to>[^)\s]+)\)")


def on_config(config: Any) -> Any:
    """Build from a copy of docs/ with the README files in it."""
    pages = Path(mkdtemp(prefix="winnow-site-"))
    atexit.register(rmtree, pages, ignore_errors=True)
    copytree(config.docs_dir, pages, dirs_exist_ok=True)
    for name, readme in READMES.items():
        text = (ROOT / readme).read_text(encoding="utf-8")
        (pages / name).write_text(_links(text, in_readme=True), encoding="utf-8")
    config.docs_dir = str(pages)
    return config


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
    if in_readme and path.startswith("docs/"):
        path = path.removeprefix("docs/")
    elif in_readme or ".." in PurePosixPath(path).parts:
        return words  # a file of the repository; languages have a switch
    return f"{link['image']}[{words}]({path}{mark}{anchor})"
