"""HTML as Markdown: the text that a reader of the page sees."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.html.equations import write_equations
from ingest.loaders.html.nesting import check_nesting
from ingest.loaders.html.page import Page
from ingest.loaders.metadata import language
from ingest.loaders.text import one_line
from storage.records import Meta

_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)|\A\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_.:-]+)""",
    re.IGNORECASE,
)
_META = {
    "description": ("description", "og:description"),
    "author": ("author", "article:author", "dc.creator"),
    "date": ("date", "article:modified_time", "article:published_time", "dc.date", "last-modified"),
}
_INVISIBLE = (
    "script, style, template, iframe, object, svg, canvas, video, audio, math annotation, "
    "math annotation-xml, rp, head"
)
# What a reader can open, or a search within the page finds, is no less there.
_HIDDEN = "noscript, [hidden]:not([role=tabpanel]):not([hidden=until-found])"
_BOILERPLATE = "nav, button, select, dialog, [role=navigation], [role=banner], [role=contentinfo]"
# Of the page these are its frame; within an article they are the article's own.
_FRAME = "header, footer, aside"
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
# A page with less text than this outside of its boilerplate is looked at with it, too, and is read with it
# if there is next to nothing else.
_ENOUGH, _LEAST_SHARE = 500, 0.2
# A page with no more text than `Please wait` is read with what is hidden.
_LOADING = 40
# XHTML closes any element so; HTML takes it for open, and a title or a script for the rest of the page.
_XHTML = re.compile(r"\A\s*<\?xml|<html[^>]{0,300}\sxmlns=.http://www\.w3\.org/1999/xhtml", re.IGNORECASE)
_CLOSED = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)([A-Za-z][\w:-]*)([^<>]*?)\s*/>"
)


def load(source: Source) -> Loaded:
    """Headings, paragraphs, lists, tables and code; navigation, banners, forms and scripts are left out.

    If next to nothing remains without this boilerplate, the boilerplate is read. Raises DocumentRefusedError.
    """
    return _load(source, whole=False)


def load_chapter(source: Source) -> Loaded:
    """As `load`, of a book's chapter, which has no boilerplate: its asides are notes."""
    return _load(source, whole=True)


def _load(source: Source, *, whole: bool) -> Loaded:
    declared = _DECLARED.search(source.data[:4096])
    label = next(filter(None, declared.groups()), b"").decode("ascii") if declared else ""
    decoded = decode(source.data, declared=_whatwg(label) if label else None)
    text = _CLOSED.sub(r"<\1\2></\1>", decoded.text) if _XHTML.search(decoded.text[:4096]) else decoded.text
    check_nesting(text)
    tree = LexborHTMLParser(text)
    title, metadata = _head(tree)
    _drop_hidden(tree)
    page = _shown(tree, whole=whole)
    if len(page.builder.text) < _LOADING:  # a script shows what is hidden
        page = _shown(LexborHTMLParser(text), whole=whole)
    return Loaded(
        text=page.builder.text,
        title=title or next((heading.title for heading in page.builder.headings), ""),
        structured=True,
        headings=page.builder.headings,
        metadata=decoded.metadata | metadata,
        warnings=decoded.warnings,
    )


def _shown(tree: LexborHTMLParser, *, whole: bool) -> Page:
    """The page without its boilerplate, unless next to nothing remains."""
    _drop(tree, _INVISIBLE)
    write_equations(tree)
    _move_feet(tree)
    page = _read(tree, without_boilerplate=not whole)
    if not whole and len(page.builder.text) < _ENOUGH:
        all_of_it = _read(tree, without_boilerplate=False)
        if len(page.builder.text) < _LEAST_SHARE * len(all_of_it.builder.text):
            page = all_of_it
    return page


def _whatwg(label: str) -> str:
    """The encoding that browsers use for a label: pages are written for browsers."""
    supersets = {
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "big5": "big5hkscs",
        "iso-8859-1": "cp1252",
        "ascii": "cp1252",
    }
    return supersets.get(label.lower(), label.lower())


def _head(tree: LexborHTMLParser) -> tuple[str, dict[str, Meta]]:
    """The title, and what the page says about itself."""
    node = tree.css_first("head title")
    metadata: dict[str, Meta] = {}
    named = {
        (
            meta.attributes.get("name")
            or meta.attributes.get("property")
            or meta.attributes.get("http-equiv")
            or ""
        ).lower(): one_line(meta.attributes.get("content") or "")
        for meta in reversed(tree.css("head meta[content]"))
    }
    for field, names in _META.items():
        if value := next((named[name] for name in names if named.get(name)), ""):
            metadata[field] = value
    tags = (one_line(tag) for tag in re.split("[,，、;；]", named.get("keywords", "")))
    if kept := tuple(tag for tag in tags if tag):
        metadata["tags"] = kept
    if lang := next(_languages(tree), named.get("content-language", "")):
        metadata["lang"] = language(lang)
    title = one_line(node.text()) if node is not None else ""
    return title or named.get("og:title", ""), metadata


def _languages(tree: LexborHTMLParser) -> Iterator[str]:
    for root in (tree.css_first("html"), tree.css_first("body")):
        for name in ("lang", "xml:lang"):
            if root is not None and (lang := one_line(root.attributes.get(name) or "")):
                yield lang


def _drop(tree: LexborHTMLParser, selector: str) -> None:
    for node in tree.css(selector):
        node.remove()


def _drop_hidden(tree: LexborHTMLParser) -> None:
    _drop(tree, _HIDDEN)
    for node in tree.css("[style]:not(html):not(body):not([role=tabpanel])"):
        if _HIDDEN_STYLE.search(node.attributes.get("style") or ""):
            node.remove()


def _move_feet(tree: LexborHTMLParser) -> None:
    """Put the feet of tables where a page shows them: below all other rows."""
    for foot in tree.css("table > tfoot"):
        if foot.next is not None and foot.parent is not None:
            last = foot.parent.last_child
            if last is not None and last.mem_id != foot.mem_id:
                last.insert_after(foot)
                foot.remove()


def _read(tree: LexborHTMLParser, *, without_boilerplate: bool) -> Page:
    page = Page()
    if tree.root is not None:
        page.walk(tree.root, {node.mem_id for node in _boilerplate(tree)} if without_boilerplate else set())
    return page


def _boilerplate(tree: LexborHTMLParser) -> list[LexborNode]:
    within: dict[int, bool] = {}
    only_title = tree.css("h1")[0].mem_id if len(tree.css("h1")) == 1 else None
    return tree.css(_BOILERPLATE) + [
        node
        for node in tree.css(_FRAME)
        if not _in_article(node, within) and not (node.tag == "header" and _holds(node, only_title))
    ]


def _holds(node: LexborNode, title: int | None) -> bool:
    """True for a header with the page's only title."""
    return title is not None and any(one.mem_id == title for one in node.css("h1"))


def _in_article(node: LexborNode, known: dict[int, bool]) -> bool:
    """True for a node within an article; `known` keeps what was found for the elements around it."""
    around = []
    found, at = False, node.parent
    while at is not None and not found:
        if at.mem_id in known:
            found = known[at.mem_id]
            break
        around.append(at.mem_id)
        found, at = at.tag in ("article", "main"), at.parent
    known.update(dict.fromkeys(around, found))
    return found
