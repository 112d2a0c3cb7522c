"""Markdown, kept as written; headings are found by the rules of CommonMark."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.text import clean
from storage.records import Heading, Scalar

_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)\n\1[ \t]*(?:\n|\Z)", re.DOTALL)
_ENTRY = re.compile(r"""^(title|date)[ \t]*[:=][ \t]*(["']?)(.+?)\2[ \t]*$""", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]\[]*)\]\([^()]*\)")
_MARKUP = re.compile(r"\s*\{[^{}]*\}\s*$|[*`]|<[^<>]*>|(?<!\w)_+|_+(?!\w)")


def load(source: Source) -> Loaded:
    """The text without front matter, which gives title and date."""
    decoded = decode(source.data)
    text = clean(decoded.text)
    metadata: dict[str, Scalar] = decoded.metadata
    title = ""
    if matter := _FRONT_MATTER.match(text):
        entries = {name: value for name, _, value in _ENTRY.findall(matter[2])}
        title = entries.get("title", "")
        metadata |= {"date": entries["date"]} if "date" in entries else {}
        text = text[matter.end() :]
    text = text.strip("\n")
    headings = headings_of(text)
    return Loaded(
        text=text,
        title=title or _title(headings),
        structured=True,
        headings=headings,
        metadata=metadata,
        warnings=decoded.warnings,
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
