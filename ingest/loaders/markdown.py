"""Markdown, kept as written; headings are found by the rules of CommonMark."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode, inline_pictures
from ingest.loaders.metadata import front_matter
from ingest.loaders.text import clean, one_line, without_data
from storage.records import Heading

_LINK = re.compile(r"!?\[([^\]\[]*)\]\([^()]*\)")
_MARKUP = re.compile(r"\s*\{[^{}]*\}\s*$|[*`]|<[^<>]*>|(?<!\w)_+|_+(?!\w)")


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
    """The headings of Markdown text with their offsets, without those in code blocks."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    found = []
    for token, content in pairwise(tokens):
        if token.type == "heading_open" and token.map:
            title = plain(content.content)
            if title:
                found.append(Heading(lines[token.map[0]], int(token.tag[1]), title))
    return tuple(found)


def plain(inline: str) -> str:
    """Inline Markdown as plain text, for titles."""
    return " ".join(_MARKUP.sub("", _LINK.sub(r"\1", inline)).split())
