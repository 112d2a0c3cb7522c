"""Markdown, kept as written; headings are found by the rules of CommonMark."""

from __future__ import annotations

import re
from html import unescape
from itertools import accumulate

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode, inline_pictures
from ingest.loaders.metadata import front_matter
from ingest.loaders.text import clean, one_line, without_data
from storage.records import Heading

_HEADING = re.compile(r'<h([1-6]) data-sourcepos="(\d+):[^"]*">(.*?)</h\1>', re.DOTALL)
_TAG = re.compile(r'<img [^>]*?alt="([^"]*)"[^>]*>|<[^>]*>')
_ATTRIBUTES = re.compile(r"(?<!\s)\s*+\{[^{}]*+\}\s*+$")


def load(source: Source) -> Loaded:
    """The text without front matter, whose fields become metadata, and without inline pictures' data."""
    decoded = decode(source.data)
    text, pictures = without_data(clean(decoded.text))
    fields, text = front_matter(text)
    title = fields.pop("title", None)
    text = text.strip("\n")
    headings = headings_of(text)
    return Loaded(
        text=text,
        title=one_line(str(title)) if title is not None else _title(headings),
        structured=True,
        headings=headings,
        metadata=decoded.metadata | fields,
        warnings=(*decoded.warnings, *inline_pictures(pictures)),
    )


def _title(headings: tuple[Heading, ...]) -> str:
    first = min(headings, key=lambda heading: (heading.level != 1, heading.offset), default=None)
    return first.title if first else ""


def headings_of(text: str) -> tuple[Heading, ...]:
    """The headings of Markdown text with their offsets, without those in code blocks and raw HTML."""
    from cmarkgfm.cmark import Options, markdown_to_html

    # raw HTML is left out of what it writes, so that a page's text cannot look like a heading of it
    page = markdown_to_html(text, Options.CMARK_OPT_SOURCEPOS)
    lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    return tuple(
        Heading(lines[int(line) - 1], int(level), title)
        for level, line, content in _HEADING.findall(page)
        if (title := plain(content))
    )


def plain(content: str) -> str:
    """The HTML of a heading as plain text, without attributes in braces."""
    return " ".join(_ATTRIBUTES.sub("", unescape(_TAG.sub(r"\1", content))).split())
