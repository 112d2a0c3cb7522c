"""HTML: what a reader of the page reads, as Markdown. The walk is a loop, so depth costs nothing."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.html_walk import Page
from ingest.loaders.plain import encoding_of
from ingest.loaders.text import one_line
from storage.records import Scalar

_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_INVISIBLE = "script, style, noscript, template, iframe, object, svg, canvas, math annotation, [hidden], head"
_BOILERPLATE = (
    "nav, footer, aside, form, button, select, dialog, [role=navigation], [role=banner], [role=contentinfo]"
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def load(source: Source) -> Loaded:
    """Headings, paragraphs, lists, tables and code; navigation, banners, forms and scripts are left out.

    Where nothing remains without the boilerplate, the page is its boilerplate, and that is read.
    """
    declared = _DECLARED.search(source.data[:4096])
    decoded = decode(source.data, declared=_whatwg(declared[1].decode("ascii")) if declared else None)
    tree = LexborHTMLParser(decoded.text)
    title, metadata = _head(tree)
    _drop(tree, _INVISIBLE)
    _drop_hidden(tree)
    page = _read(tree, without_boilerplate=True) or _read(tree, without_boilerplate=False) or Page()
    return Loaded(
        text=page.builder.text,
        title=title or next((heading.title for heading in page.builder.headings), ""),
        structured=True,
        headings=page.builder.headings,
        metadata=encoding_of(decoded) | metadata,
        warnings=decoded.warnings,
    )


def _whatwg(label: str) -> str:
    """Browsers read these labels as their supersets, and pages are written for browsers."""
    supersets = {
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "big5": "big5hkscs",
        "iso-8859-1": "cp1252",
        "ascii": "cp1252",
    }
    return supersets.get(label.lower(), label.lower())


def _head(tree: LexborHTMLParser) -> tuple[str, dict[str, Scalar]]:
    node = tree.css_first("head title")
    metadata: dict[str, Scalar] = {}
    for name in ("description", "author", "date"):
        meta = tree.css_first(f'head meta[name="{name}"]')
        if meta is not None and (content := one_line(meta.attributes.get("content") or "")):
            metadata[name] = content
    return (one_line(node.text()) if node is not None else ""), metadata


def _drop(tree: LexborHTMLParser, selector: str) -> None:
    for node in tree.css(selector):
        node.remove()


def _drop_hidden(tree: LexborHTMLParser) -> None:
    for node in tree.css("[style]"):
        if _HIDDEN_STYLE.search(node.attributes.get("style") or ""):
            node.remove()


def _read(tree: LexborHTMLParser, *, without_boilerplate: bool) -> Page | None:
    root = tree.root
    if root is None:
        return None
    page = Page()
    skipped = {node.mem_id for node in _boilerplate(tree)} if without_boilerplate else set()
    page.walk(root, skipped)
    return page if page.builder.text.strip() else None


def _boilerplate(tree: LexborHTMLParser) -> list[LexborNode]:
    # A header inside the article is the article's own.
    own = {node.mem_id for node in tree.css("article header, main header")}
    return tree.css(_BOILERPLATE) + [node for node in tree.css("header") if node.mem_id not in own]
