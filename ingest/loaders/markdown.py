"""Markdown, kept as written but for the rows of tables; headings are found by the rules of CommonMark."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from html import unescape
from itertools import accumulate

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode, inline_pictures
from ingest.loaders.html.load import load as load_html
from ingest.loaders.metadata import front_matter
from ingest.loaders.tables import rows_of, table_lines
from ingest.loaders.text import clean, one_line, without_data
from storage.records import Heading

_HEADING = re.compile(r'<h([1-6]) data-sourcepos="(\d+):[^"]*">(.*?)</h\1>', re.DOTALL)
_TAG = re.compile(r'<img [^>]*?alt="([^"]*)"[^>]*>|<[^>]*>')
# The second row of a table, and what cmark-gfm writes of tables and code.
_RULE = re.compile(r"^(?=[^\n]*-)(?=[^\n]*\|)[ \t>|:\d.)*+-]+$", re.MULTILINE)
_WIDEST = 1000
# In bytes, of which Chinese has three a character: some 100 to 150 tokens.
_SHORT = 400
_TABLE = re.compile(r"<tbody>(.*?)</tbody>", re.DOTALL)
_ROW = re.compile(r'<tr data-sourcepos="(\d+):(\d+)')
_CODE = re.compile(r'<pre data-sourcepos="(\d+):\d+-(\d+)')
_BAR = re.compile(r"(?<!\\)\|")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# A table in HTML at the beginning of a line, perhaps within other elements.
_MARKUP = re.compile(
    r"^[ \t]*+(?:<(?!table\b)[a-z][^<>\n]*+>[ \t]*+)*+<table\b", re.IGNORECASE | re.MULTILINE
)
_TABLE_TAG = re.compile(r"<(/?)table\b[^<>]*+>(?:[ \t]*+</(?!t)\w++>)*+", re.IGNORECASE)
_ATTRIBUTES = re.compile(r"(?<!\s)\s*+\{[^{}]*+\}\s*+$")


def load(source: Source) -> Loaded:
    """The text without front matter, whose fields become metadata, and without inline pictures' data."""
    decoded = decode(source.data)
    text, pictures = without_data(clean(decoded.text))
    fields, text = front_matter(text)
    title = fields.pop("title", None)
    text = with_rows(text.strip("\n"))
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


def with_rows(text: str) -> str:
    """Markdown whose tables, also those in HTML, are a line for each row under the names of its columns.

    One that is shorter than a passage is never cut, and stays as people write it.
    """
    if not (_RULE.search(text) or _MARKUP.search(text)):
        return text
    from cmarkgfm.cmark import Options, github_flavored_markdown_to_html

    if any(line.count("|") > _WIDEST for line in text.split("\n")):
        return text
    # raw HTML is left out of what it writes, so that a page's text cannot look like a table of it
    page = github_flavored_markdown_to_html(text, Options.CMARK_OPT_SOURCEPOS)
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    found = [_table(lines, starts, _ROW.findall(rows)) for rows in _TABLE.findall(page)]
    found = [table for table in found if len(text[table[0] : table[1]].encode()) > _SHORT]
    code = [(starts[int(first) - 1], starts[int(last)]) for first, last in _CODE.findall(page)]
    found += _tables_in_markup(text, code)
    parts, at = list[str](), 0
    for start, end, rows in sorted(found):
        if start >= at and rows:
            parts += [text[at:start], rows]
            at = end
    return "\n\n".join(part.strip("\n") for part in (*parts, text[at:]) if part.strip("\n"))


def _table(lines: list[str], starts: list[int], places: list[tuple[str, str]]) -> tuple[int, int, str]:
    """The start, the end and the new lines of a table, by the lines and columns of the rows below its head.

    What precedes a row, the signs of a list or quotation, stays. Columns are counted in bytes.
    """
    head, column = int(places[0][0]) - 2, int(places[0][1]) - 1
    body = [lines[int(number) - 1].encode() for number, _ in places]
    cells = [_cells(line[column:].decode()) for line in (lines[head - 1].encode(), *body)]
    rows = [line for _, line in table_lines(rows_of(cells), head=1)]
    first, further = (line[:column].decode() for line in (lines[head - 1].encode(), body[0]))
    return starts[head - 1], starts[int(places[-1][0])] - 1, first + f"\n{further}".join(rows)


def _cells(row: str) -> list[str]:
    row = row.strip().removeprefix("|")
    row = row if row.endswith("\\|") else row.removesuffix("|")
    return [_BREAK.sub(" ", cell).replace("\\|", "|") for cell in _BAR.split(row)]


def _tables_in_markup(text: str, code: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """The tables in HTML outside of code; one that is not closed is left as it is."""
    at = 0
    while found := _MARKUP.search(text, at):
        within = bisect_right(code, (found.start(), len(text))) - 1
        if within >= 0 and found.start() < code[within][1]:
            at = code[within][1]
            continue
        depth = 0
        for tag in _TABLE_TAG.finditer(text, found.end() - len("<table")):
            depth += -1 if tag[1] else 1
            if depth == 0:
                break
        else:
            return
        at = tag.end()
        yield found.start(), at, load_html(Source("table.html", text[found.start() : at].encode())).text
