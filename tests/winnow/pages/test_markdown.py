"""Markdown from anybody: what it becomes, and that no text keeps a page busy."""

from __future__ import annotations

import pytest

from winnow.server.pages.views.markdown import blocks

# Of a pattern that goes over a run again and again these would take minutes to years.
MANY = 100_000
HOSTILE = {
    "a heading with a gap": "# a" + " " * MANY + "b",
    "a heading of closing signs": "# a" + " #" * MANY + " b",
    "a rule that is none": "a|b\n" + " " * MANY + "|" + " " * MANY + "x",
    "a rule with a gap": "a|b\n|-" + " " * MANY + "x",
    "a rule of many columns": "a|b\n" + "|-" * MANY + "x",
    "an open fence": "~" * MANY + "`",
    "open brackets": "[" * MANY,
    "open pictures": "![a" * MANY,
    "open stars": "**a " * MANY,
    "lines of one paragraph": "a\n" * MANY,
    "lines of one quote": "> a\n" * MANY,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_more_than_one_look(text: str) -> None:
    """A long run of anything is shown, and nothing of it is lost but signs."""
    found = blocks(text)
    shown = "".join(run.text for block in found for run in block.runs)
    cells = "".join(run.text for block in found for row in block.rows for cell in row for run in cell)
    assert (shown + cells).count("a") == text.count("a")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("# Head", "Head"),
        ("# Head ##  ", "Head"),
        ("###   A  #  B ##\n", "A  #  B"),
        ("# ", ""),
        ("# #", ""),
    ],
)
def test_a_heading_has_its_words_alone(line: str, words: str) -> None:
    """The signs that open and close a heading are none of its words."""
    [block] = blocks(line)
    assert (block.kind, "".join(run.text for run in block.runs)) == ("heading", words)


@pytest.mark.parametrize("rule", ["|---|---|", "---|---", " :--- | ---: ", "|:-:|-|\t", "-|"])
def test_a_rule_makes_a_table(rule: str) -> None:
    """A table's rule is read with its bars, colons and spaces; with a letter in it, it is none."""
    assert [block.kind for block in blocks(f"a | b\n{rule}\n1 | 2\n")] == ["table"]
    assert [block.kind for block in blocks(f"a | b\n{rule}x\n1 | 2\n")] == ["text"]
