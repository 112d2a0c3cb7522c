"""Splitting text into quotable sentences: boundaries, non-prose, display."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.extractive.sentences import LONGEST, plain, sentences


def texts(passage: str, *titles: str) -> list[str]:
    return [passage[start:end] for start, end in sentences(passage, titles)]


@pytest.mark.parametrize(
    ("passage", "found"),
    [
        ("Dr. Smith went to D.C. He said so.", ["Dr. Smith went to D.C.", "He said so."]),
        (
            "See Fig. 3, e.g. the U.S. map. It costs $3.5.",
            ["See Fig. 3, e.g. the U.S. map.", "It costs $3.5."],
        ),
        ("这是第一句。这是第二句！真的吗？", ["这是第一句。", "这是第二句！", "真的吗？"]),
        ("他说：“今天很好。”然后他离开了。", ["他说：“今天很好。”", "然后他离开了。"]),
        ("价格是3.5元。版本是1.2版。", ["价格是3.5元。", "版本是1.2版。"]),
        ("One line that\nis wrapped. Next one.", ["One line that\nis wrapped.", "Next one."]),
        ("No full stop at the end", ["No full stop at the end"]),
        ("", []),
        ("a. b. ！？", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(passage: str, found: list[str]) -> None:
    """Abbreviations and decimals do not end a sentence; Chinese ends take their closing quotes along."""
    assert texts(passage) == found


MARKDOWN = """# A heading with words

Intro sentence one. Intro
sentence two.

| column one | column two |
|---|---|
| cell one | cell two |

- First item here
- Second item. With more
  on the next line.
1. Numbered item here

```python
value = compute(one, two)  # never prose
```

A heading that is underlined
----------------------------

> Quoted words stand
> on two lines.

[link]: http://example.invalid
<div class="x">
"""


def test_markdown_gives_its_prose_alone() -> None:
    """Headings, tables, code, rules and raw HTML are not quoted; list items and quotes are."""
    assert texts(MARKDOWN) == [
        "Intro sentence one.",
        "Intro\nsentence two.",
        "First item here",
        "Second item.",
        "With more\n  on the next line.",
        "Numbered item here",
        "Quoted words stand\n> on two lines.",
    ]


def test_a_passage_that_begins_inside_code_is_seen_as_such() -> None:
    """A lone bare fence closes what the passage before it opened."""
    assert texts("value = one two three\n```\nThis is prose again.") == ["This is prose again."]
    assert texts("This is prose.\n```python\nvalue = one two three") == ["This is prose."]


def test_headings_of_formats_without_marks_are_known_by_name() -> None:
    """A line that equals a heading of the passage is no prose."""
    assert texts("Getting started\nRun the program.", "Getting started") == ["Run the program."]


def test_a_table_alone_gives_its_rows() -> None:
    """Table rows are quoted when a passage holds no prose."""
    table = "| term | meaning |\n|:--|--:|\n| RRF | rank fusion |"
    assert texts(table) == ["| term | meaning |", "| RRF | rank fusion |"]


def test_rows_of_a_csv_file_are_not_run_together() -> None:
    """Each `column: value; …` line is a sentence of its own."""
    rows = "term: pool; meaning: the candidates. Fifty\nterm: chunk; meaning: a piece"
    assert texts(rows) == rows.split("\n")


@pytest.mark.parametrize("unit", ["甲方应当按时付款，", "one two three ", "x" * 50, "first clause here; "])
def test_what_never_ends_is_cut(unit: str) -> None:
    """Text without full stops is split into pieces short enough to quote."""
    pieces = texts(unit * 100)
    assert max(map(len, pieces)) <= LONGEST
    assert sum(map(len, pieces)) > 0.9 * len((unit * 100).strip())


@settings(deadline=None)
@given(st.text(alphabet="ab1 。.！\n|#-`>；[](*第句U\u2028\U0001d54f", max_size=300))
def test_spans_are_in_order_and_within_the_passage(passage: str) -> None:
    """Whatever the text, spans do not overlap, and none begins or ends with white space."""
    end = 0
    for start, stop in sentences(passage):
        assert end <= start < stop <= len(passage)
        assert passage[start:stop] == passage[start:stop].strip()
        end = stop


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("Some **bold** words, see [docs](http://x.invalid/a_b).", "Some bold words, see docs."),
        ("**Cut in the middle.", "Cut in the middle."),
        ("A claim.[12] Another【3】 and [1, 2].", "A claim. Another and."),
        ("wrapped\n  line", "wrapped line"),
        ("换\n行的句子，\n下一行", "换行的句子，下一行"),
        ("quoted\n> on two lines", "quoted on two lines"),
        ("| RRF | rank fusion |", "RRF · rank fusion"),
        ("call `f(x)` with __init__ and a_b", "call `f(x)` with init and a_b"),
    ],
)
def test_a_quote_is_shown_in_one_plain_line(sentence: str, shown: str) -> None:
    """Markdown and footnote marks, which would look like citations, are not shown."""
    assert plain(sentence) == shown
