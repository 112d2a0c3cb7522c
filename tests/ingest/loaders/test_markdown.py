"""Markdown: a row of a table says by itself what its cells are, whatever the table is written in."""

from __future__ import annotations

import pytest

from ingest.loaders import Loaded
from tests.support.loading import read


def markdown(text: str) -> Loaded:
    return read("a.md", text)


def test_each_row_of_a_pipe_table_has_the_names_of_its_columns() -> None:
    """A passage from the middle of a long table would otherwise be numbers without a meaning."""
    rows = "\n".join(f"| {number} | {2 * number} |" for number in range(1, 90))
    loaded = markdown(f"# Gauges\n\n| No | bar |\n|---:|---|\n{rows}\n\nEnd.")
    lines = loaded.text.split("\n")
    assert lines[:3] == ["# Gauges", "", "No: 1; bar: 2"]
    assert lines[-3:] == ["No: 89; bar: 178", "", "End."]
    assert [heading.title for heading in loaded.headings] == ["Gauges"]


@pytest.mark.parametrize(
    ("table", "read_as"),
    [
        ("a \\| b | 阀门\n--|:-:\n1<br>2 | `x`", "a | b: 1 2; 阀门: `x`"),
        ("Before.\n| a | b |\n|---|---|\n| 1 | 2 |\n---", "Before.\n\na: 1; b: 2\n\n---"),
        ("> | a | b |\n> |---|---|\n> | 1 | 2 |\n> | 3 | 4 |", "> a: 1; b: 2\n> a: 3; b: 4"),
        ("- | a | b |\n  |---|---|\n  | 1 | 2 |\n  | 3 | 4 |", "- a: 1; b: 2\n  a: 3; b: 4"),
        ("| a | b |\n|---|---|", "| a | b |\n|---|---|"),
        ("```\n| a | b |\n|---|---|\n| 1 | 2 |\n```", "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```"),
    ],
)
def test_pipe_tables_are_found_by_the_rules_of_github(table: str, read_as: str) -> None:
    """Also beside text, in lists and in quotations; in code they are code. A short one stays a table."""
    long = ("2 and more words, " * 25).strip()
    assert markdown(table.replace("2", long)).text == read_as.replace("2", long)
    assert "|-" in markdown(table).text.replace(" ", "") or "--|" in table


def test_tables_in_html_are_read_like_those_of_pages() -> None:
    """As programs export them from PDFs: in one line, or with spans; code and prose about tables stay."""
    spans = "<tr><th rowspan=2>Site</th><th colspan=2>2024</th></tr>\n<tr><th>Q1</th><th>Q2</th></tr>"
    text = (
        "<html><body><table><tr><td>型号</td><td>数量</td></tr><tr><td>A</td><td>3</td></tr></table>"
        f"</body></html>\n\n<table>\n{spans}\n\n<tr><td>N&amp;S</td><td>1</td><td>2</td></tr>\n</table>\n"
        "\nUse `<table>` and `</table>`.\n\n```\n<table><tr><td>x</td></tr></table>\n```\n\n<table>\nopen"
    )
    assert markdown(text).text.split("\n\n") == [
        "型号: A; 数量: 3",
        "Site: N&S; 2024 Q1: 1; 2024 Q2: 2",
        "Use `<table>` and `</table>`.",
        "```\n<table><tr><td>x</td></tr></table>\n```",
        "<table>\nopen",
    ]


def test_front_matter_may_be_json_and_may_be_nested() -> None:
    """A field within a field can be filtered by both names; JSON that is the document stays."""
    loaded = markdown('{\n  "title": "Oil",\n  "tags": ["gear"]\n}\n\nText.')
    assert (loaded.title, loaded.text, loaded.metadata["tags"]) == ("Oil", "Text.", ("gear",))
    nested = markdown("---\nowner:\n  name: Li\n  team: {site: Bergen}\n---\nText.").metadata
    assert (nested["owner.name"], nested["owner.team.site"]) == ("Li", "Bergen")
    assert markdown("---\na: &a\n  b: *a\n---\nText.").text == "Text."  # a field within itself
    assert markdown('{"a": 1}').text == '{"a": 1}'
    assert markdown('{"a": 1} and more.\n\nText.').text.startswith('{"a": 1} and')
