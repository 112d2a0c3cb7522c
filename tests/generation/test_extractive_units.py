"""Cutting passages into units that can be quoted, and showing these as the source has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.extractive.sentences import LONGEST
from generation.extractive.shown import shown, without_emphasis
from generation.extractive.units import units
from ingest.loaders.base import Source
from ingest.loaders.registry import load

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "documents"


def texts(passage: str, *titles: str, kind: str = "prose") -> list[str]:
    return [passage[slice(*one.span)] for one in units(passage, titles) if one.kind == kind]


@pytest.mark.parametrize(
    ("passage", "found"),
    [
        ("Dr. Smith went to D.C. He said so.", ["Dr. Smith went to D.C.", "He said so."]),
        (
            "See Fig. 3, e.g. the U.S. map. It costs $3.5.",
            ["See Fig. 3, e.g. the U.S. map.", "It costs $3.5."],
        ),
        ("这是第一句。这是第二句！真的吗？", ["这是第一句。", "这是第二句！"]),
        ("他说：“今天很好。”然后他离开了。", ["他说：“今天很好。”", "然后他离开了。"]),
        ("价格是3.5元。版本是1.2版。", ["价格是3.5元。", "版本是1.2版。"]),
        ("帮助用 `-h`。tidb-ctl 由多层命令组成。", ["帮助用 `-h`。", "tidb-ctl 由多层命令组成。"]),
        ("特点如下：1. 显存占用大。2. 动态变化。", ["1. 显存占用大。", "2. 动态变化。"]),
        (
            "消费者有权自收到商品之日起七日内退货，但下列商品除外：\n（一）消费者定作的商品；",
            ["消费者有权自收到商品之日起七日内退货，但下列商品除外：", "（一）消费者定作的商品；"],
        ),
        ("To install it on a machine of your own, run one of the commands in this list:\n\n    a b", []),
        (
            "如果需要在自己的机器上安装这个软件，请在终端里运行以下命令：\n（一）安装所需要的软件包；",
            ["（一）安装所需要的软件包；"],
        ),
        (
            "经营者应当遵守规定，包括：\n（一）按时向消费者交付商品；",
            ["（一）按时向消费者交付商品；"],
        ),
        ("One line that\nis wrapped. Next one.", ["One line that\nis wrapped.", "Next one."]),
        ("No full stop at the end", ["No full stop at the end"]),
        ("", []),
        ("a. b. ！？", []),
        (
            "It reads only the\n20. When none is left, it stops.",
            ["It reads only the\n20.", "When none is left, it stops."],
        ),
        (
            "See `a.b. C` and [x. Y](http://a.b/c). Then stop.",
            ["See `a.b. C` and [x. Y](http://a.b/c).", "Then stop."],
        ),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(passage: str, found: list[str]) -> None:
    """Abbreviations, decimals, code and links do not end a sentence; questions are not quoted."""
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
value = compute(one, two)
```

A heading that is underlined
----------------------------

> Quoted words stand
> on two lines.

[link]: http://example.invalid
<div class="x">
"""


def test_markdown_gives_prose_rows_and_code_apart() -> None:
    """Headings, rules and raw HTML are not quoted; rows come with their column names, code whole."""
    assert texts(MARKDOWN) == [
        "Intro sentence one.",
        "Intro\nsentence two.",
        "First item here",
        "Second item.",
        "With more\n  on the next line.",
        "1. Numbered item here",
        "Quoted words stand\n> on two lines.",
    ]
    row = next(one for one in units(MARKDOWN) if one.kind == "row")
    assert row.lead is not None
    assert MARKDOWN[slice(*row.lead)] == "| column one | column two |\n|---|---|"
    assert texts(MARKDOWN, kind="row") == ["| cell one | cell two |"]
    assert texts(MARKDOWN, kind="code") == ["```python\nvalue = compute(one, two)\n```"]


def test_an_entry_of_a_change_log_is_known_by_what_it_cites() -> None:
    """Every sentence of an item that cites its change; not prose that cites an issue."""
    passage = (
        "* Serve in several workers. PR [#97](https://git.example/a/b/pull/97) by [@ann](https://git.example/ann).\n"
        "* 支持多个工作进程，默认为四个。(#98)\n* Workers share one port and one log.\n\n"
        "It hangs, see [#9](https://git.example/a/b/issues/9) for why."
    )
    found = {passage[slice(*one.span)]: one.of_change for one in units(passage)}
    assert found["Serve in several workers."]
    assert found["支持多个工作进程，默认为四个。"]
    assert not found["Workers share one port and one log."]
    assert not found[passage.split("\n\n")[1]]


def test_a_list_stands_with_what_leads_to_it() -> None:
    """The "as follows:" is no answer by itself: it leads the items, and begins the whole list."""
    passage = "There are two modes:\n\n- `fast` skips the model.\n- `full` reads all of it.\n"
    assert texts(passage) == ["`fast` skips the model.", "`full` reads all of it."]
    assert {passage[slice(*one.lead)] for one in units(passage) if one.lead} == {"There are two modes:"}
    assert texts(passage, kind="list") == [passage.strip()]


def test_code_is_quoted_with_the_sentence_that_leads_to_it() -> None:
    """Code by itself would not say what it is for."""
    passage = "Run the tests with:\n\n```bash\nmake test\n```\n"
    assert texts(passage, kind="code") == [passage.strip()]


def test_a_passage_that_begins_inside_code_is_seen_as_such() -> None:
    """A lone bare fence closes what the passage before it opened."""
    assert texts("value = one two three\n```\nThis is prose again.") == ["This is prose again."]
    assert texts("This is prose.\n```python\nvalue = one two three") == ["This is prose."]


def test_lines_over_a_rule_are_no_heading() -> None:
    """One underlined line is Markdown's heading; several are text that somebody drew a line under."""
    assert texts("Hub $79.99\nTOTAL $821.14\n=====\n\nThank you for shopping.") == [
        "Hub $79.99\nTOTAL $821.14",
        "Thank you for shopping.",
    ]
    assert texts("Total\n=====\n\nIt is $821.14 in all.") == ["It is $821.14 in all."]


def test_headings_of_formats_without_marks_are_known_by_name() -> None:
    """A line that equals a heading of the passage is no prose."""
    assert texts("Getting started\nRun the program.", "Getting started") == ["Run the program."]


def test_rows_of_a_csv_file_are_not_run_together() -> None:
    """Each `column: value; …` line is a unit of its own, shown a column a line."""
    rows = "term: pool; meaning: the candidates. Fifty\nterm: chunk; meaning: a piece"
    assert texts(rows, kind="record") == rows.split("\n")
    assert shown(rows.split("\n")[0], "record") == "term: pool;\nmeaning: the candidates. Fifty"


@pytest.mark.parametrize(
    "junk",
    [
        "Next: Thread Safety, Previous: Introduction, Up: Top   [Contents][Index]",
        "{* ../../docs_src/background_tasks/tutorial001.py hl[13] *}",
        "* [Install](install.md)\n* [Use it](use.md)\n* [FAQ](faq.md)",
        "[Home](/) | [Docs](/docs) | [Blog](/blog)",
        "/// tip",
        "!!! note",
        ".. include:: other.rst",
        "上一页：[安装](a.md) 下一页：[配置](b.md)",
        "Table of contents",
        "Edit this page on GitHub",
        "**Details**",
        "![a picture of it](img/one.png)",
        "Docs » Guide » Installing it",
        "7.2 算子融合",
        "* 任务\n* 后台任务\n* 类型注解\n* 域名",
    ],
)
def test_navigation_directives_and_labels_say_nothing(junk: str) -> None:
    """None of it is quoted, while the sentence beside it is."""
    assert texts(f"{junk}\n\nThis sentence says something.") == ["This sentence says something."]
    assert [one.kind for one in units(junk)] == []


@pytest.mark.parametrize(
    "unit", ["甲方应当按时付款，", "one two three ", "x" * 50 + " ", "first clause here; "]
)
def test_what_never_ends_is_cut(unit: str) -> None:
    """Text without full stops is split into pieces short enough to quote."""
    pieces = texts(unit * 200)
    assert max(map(len, pieces)) <= LONGEST
    assert sum(map(len, pieces)) > 0.9 * len((unit * 200).strip())


@settings(deadline=None)
@given(st.text(alphabet="ab1 。.！\n|#-`>；[](*_第句U\u2028\U0001d54f:", max_size=300))
def test_spans_are_within_the_passage_and_shown_exactly(passage: str) -> None:
    """Whatever the text, no span begins or ends with white space, and nothing but marks is left out."""
    for one in units(passage):
        start, stop = one.span
        assert 0 <= start < stop <= len(passage)
        quoted = passage[start:stop]
        assert quoted == quoted.strip()
        assert _bare(shown(quoted, one.kind)) == _bare(quoted)


def _bare(text: str) -> str:
    return re.sub(r"[\s*_>`\u2028]+", "", text)


@pytest.mark.parametrize(
    ("sentence", "seen"),
    [
        (
            "Some **bold** and *light* words, see [docs](http://x.invalid/a_b).",
            "Some bold and light words, see [docs](http://x.invalid/a_b).",
        ),
        ("这是**重点**内容。", "这是重点内容。"),
        ("A claim.[12] Another【3】 and [1, 2].", "A claim.[12] Another【3】 and [1, 2]."),
        ("wrapped\n  line", "wrapped line"),
        ("换\n行的句子，\n下一行", "换行的句子，下一行"),
        ("quoted\n> on two lines", "quoted on two lines"),
        ("call `f(x)` with __init__ and a_b", "call `f(x)` with __init__ and a_b"),
        ("an order such as `[3] > [1] > [7]` is parsed", "an order such as `[3] > [1] > [7]` is parsed"),
        (
            "ffi_call (ffi_cif *cif, void *fn, void *rvalue, void **avalues)",
            "ffi_call (ffi_cif *cif, void *fn, void *rvalue, void **avalues)",
        ),
        ("area = a*b*c and 2 * 3 * 4", "area = a*b*c and 2 * 3 * 4"),
        (r"literal \*stars\* stay", r"literal \*stars\* stay"),
        ("`` `a` `` with *b*", "`` `a` `` with b"),
        ("a **`**kwargs`** here", "a `**kwargs` here"),
        ("left **open here", "left **open here"),
    ],
)
def test_a_quote_is_the_source_but_for_emphasis(sentence: str, seen: str) -> None:
    """Names, pointers, footnotes, links and code stay as they are."""
    assert shown(sentence) == seen


def test_code_keeps_its_lines() -> None:
    """Fences stay; code from within a block gets some; the sentence before it is shown as one."""
    assert (
        shown("Run:\n\n```bash\nmake **it**\n  now\n```", "code") == "Run:\n```bash\nmake **it**\n  now\n```"
    )
    assert shown("a = 1\n\nb  = 2", "code") == "```\na = 1\n\nb  = 2\n```"


def _documents() -> list[Path]:
    return sorted(path for path in EXAMPLES.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", _documents(), ids=lambda path: path.name)
def test_every_unit_of_the_examples_is_shown_as_markdown_reads_it(path: Path) -> None:
    """What is shown, read by a Markdown library, is what the source says, read by it."""
    from markdown_it import MarkdownIt

    text = load(Source(path.name, path.read_bytes())).text
    inline = MarkdownIt("commonmark")
    found = units(text)
    assert found

    def read(part: str) -> str:
        tokens = inline.parseInline(part)[0].children or []
        said = "".join(token.content or ("" if token.nesting else " ") for token in tokens)
        return "".join(said.split())

    for one in found:
        quoted = text[slice(*one.span)]
        assert "".join(without_emphasis(shown(quoted, one.kind)).split()) != ""
        if one.kind == "prose":
            assert read(shown(quoted)) == read(quoted), quoted
        else:
            assert _bare(shown(quoted, one.kind)) == _bare(quoted)
