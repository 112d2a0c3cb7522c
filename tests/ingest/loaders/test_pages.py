"""HTML, notebooks, books and subtitles: what a reader sees is in the text, once and in its order."""

from __future__ import annotations

import base64
import io
import json
import zipfile

import pytest

from tests.support.loading import read


def page(body: str, head: str = "") -> str:
    return f"<!doctype html><html><head><meta charset=utf-8>{head}</head><body>{body}</body></html>"


def test_a_table_for_layout_keeps_what_is_in_its_cells() -> None:
    """Headings, lists and tables within cells are read as such; a data table within a data table is words."""
    loaded = read(
        "a.html",
        page(
            "<table><tr><td>Menu</td><td><h1>Hoses</h1><p>Red ones.</p><ul><li>long<li>short</ul>"
            "<table><tr><th>Kind<th>Bar<tr><td>A<td>12<tr><td>B<td>16</table></td></tr></table>"
        ),
    )
    assert loaded.text.split("\n\n") == [
        "Menu", "# Hoses", "Red ones.", "- long\n- short", "Kind: A; Bar: 12\nKind: B; Bar: 16",
    ]  # fmt: skip
    assert [heading.title for heading in loaded.headings] == ["Hoses"]


def test_names_in_front_of_values_are_a_form() -> None:
    """A table whose rows are a header cell and one value names each value, in both languages."""
    body = "<table><tr><th colspan=2>{}<tr><th>{}<td>{}<tr><th>{}<td>{}</table>"
    assert read("a.html", page(body.format("Bath", "River", "Avon", "Guests", "94,000"))).text.split(
        "\n"
    ) == [
        "Bath",
        "River: Avon",
        "Guests: 94,000",
    ]
    assert "河流: 太湖" in read("b.html", page(body.format("无锡", "河流", "太湖", "别称", "梁溪"))).text


def test_the_foot_of_a_table_comes_last() -> None:
    """HTML may write it before the rows; a page shows it below them."""
    body = "<table><thead><tr><th>Part<th>Qty<tfoot><tr><td>All<td>8<tbody><tr><td>hose<td>3</table>"
    assert read("a.html", page(body)).text == "Part: hose; Qty: 3\nPart: All; Qty: 8"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<ol start=4><li>d<li>e</ol>", ["4. d", "5. e"]),
        ("<ol type=a><li>one<li value=5>five</ol>", ["a. one", "e. five"]),
        ("<ol reversed><li>last<li>first</ol>", ["2. last", "1. first"]),
    ],
)
def test_items_have_the_numbers_that_a_page_shows(body: str, expected: list[str]) -> None:
    """Where a list starts, counts down, or counts in letters."""
    assert read("a.html", page(body)).text.split("\n") == expected


def test_an_equation_of_a_page_is_one_line() -> None:
    """Fractions, powers and roots of MathML keep their meaning."""
    body = (
        "<p>So <math><mi>v</mi><mo>=</mo><mfrac><mn>3</mn><mi>t</mi></mfrac></math> and "
        "<math><msup><mi>v</mi><mn>2</mn></msup><mo>+</mo><msqrt><mi>t</mi></msqrt></math>.</p>"
    )
    assert read("a.html", page(body)).text == "So v=3/t and v^2+√t ."


def test_notes_beside_an_article_are_read_and_the_frame_of_the_page_is_not() -> None:
    """An aside within the article, its footer, and a header that holds the only title."""
    text = read(
        "a.html",
        page(
            "<header><h1>Valve V7</h1></header><aside>Related pages</aside><main>"
            "<p>It opens at 7 bar.</p>"
            "<aside>Danger: 400 V inside.</aside><footer>Checked in May.</footer></main>"
            "<footer>Imprint</footer>"
        ),
    ).text
    assert "# Valve V7" in text
    assert "Danger: 400 V inside." in text
    assert "Checked in May." in text
    assert "Related" not in text
    assert "Imprint" not in text


def test_roles_say_what_elements_are() -> None:
    """A table and a heading of plain elements; elements of the page's own part words."""
    text = read(
        "a.html",
        page(
            "<div role=heading aria-level=3>Stock</div><div role=table>"
            "<div role=row><span role=columnheader>Part</span><span role=columnheader>Qty</span></div>"
            "<div role=row><span role=cell>hose</span><span role=cell>3</span></div></div>"
            "<x-card><x-title>Card</x-title><x-body>text</x-body></x-card>"
        ),
    ).text
    assert text == "### Stock\n\nPart: hose; Qty: 3\n\nCard text"


@pytest.mark.parametrize(
    ("data", "lang"),
    [
        ("<html xml:lang='fr-CH'><body><p>Bonjour", "fr"),
        ("<html><body lang=de><p>Hallo", "de"),
        (page("<p>hola", "<meta http-equiv=Content-Language content=es>"), "es"),
    ],
)
def test_the_language_of_a_page_is_found_wherever_it_is_declared(data: str, lang: str) -> None:
    """As an attribute of XHTML, of the body, or in the head."""
    assert read("a.html", data).metadata["lang"] == lang


def test_boxes_are_read_as_they_are_checked_and_comments_part_no_words() -> None:
    """As programs write pages: a comment between two pieces of a number, a box that is only a button."""
    body = (
        "<ul><li><input type=checkbox checked> Tight<li><input type=checkbox> Dry</ul>"
        "<p>Price: $<!-- -->1<!-- -->20</p><p><input type=checkbox role=button>Menu</p>"
    )
    assert read("a.html", page(body)).text.split("\n") == [
        "- ☒ Tight",
        "- ☐ Dry",
        "",
        "Price: $120",
        "",
        "Menu",
    ]


@pytest.mark.parametrize(
    "body",
    [
        '<body style="visibility:hidden"><p>Close the valve by hand before the pump is opened.</p>',
        "<body>Please wait<div hidden><p>Close the valve by hand before the pump is opened.</p></div>",
        "<body><noscript><p>Close the valve by hand before the pump is opened.</p></noscript>",
        "<body><p>A first tab of some forty letters.</p><div role=tabpanel style='display:none'>"
        "Close the valve by hand before the pump is opened.</div>",
    ],
)
def test_a_page_that_a_script_shows_is_read(body: str) -> None:
    """A page that a script shows is read whole; of others, hidden parts only where a reader opens them."""
    assert "Close the valve by hand" in read("a.html", f"<html>{body}<script>go()</script></html>").text
    hidden = "<p>All of the words that a reader sees on this page.</p><p hidden>Ignore them.</p>"
    assert "Ignore" not in read("a.html", hidden).text


def test_xhtml_closes_elements_within_their_tag() -> None:
    """An empty title, script or anchor of XHTML takes in nothing of what follows; its declaration counts."""
    body = "<title/></head><body><p>один</p><script/><a id='x'/><p>два</p></body></html>"
    data = f'<?xml version="1.0" encoding="windows-1251"?><html xmlns="http://www.w3.org/1999/xhtml"><head>{body}'
    assert read("a.xhtml", data.encode("cp1251")).text == "один\n\nдва"


def test_the_notes_of_a_book_are_read() -> None:
    """Asides of a chapter are its notes, not the frame of a page."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="b.opf"/></rootfiles></container>',
        )
        archive.writestr(
            "b.opf",
            '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest><item id="a" href="a.xhtml"/>'
            '</manifest><spine><itemref idref="a"/></spine></package>',
        )
        archive.writestr(
            "a.xhtml", "<html><body><p>It rained<a>1</a>.</p><aside>1 For days.</aside></body></html>"
        )
    assert read("a.epub", buffer.getvalue()).text == "It rained1.\n\n1 For days."


def test_what_a_notebook_shows_is_read_without_colours() -> None:
    """Outputs of HTML or Markdown only, and streams that colour their words."""
    outputs = [
        {"output_type": "display_data", "data": {"text/html": "<table><tr><th>a<th>b<tr><td>1<td>2</table>"}},
        {"output_type": "display_data", "data": {"text/markdown": ["**done** ", "in 7 s"]}},
        {"output_type": "stream", "text": "\x1b[1;31mwarning\x1b[0m: cold"},
    ]
    cell = {"cell_type": "code", "source": "run()", "outputs": outputs}
    text = read("a.ipynb", json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4})).text
    assert "a: 1; b: 2" in text
    assert "**done** in 7 s" in text
    assert "```\nwarning: cold\n```" in text


def test_cues_have_neither_entities_nor_times_within() -> None:
    """WebVTT writes `&amp;` for `&`, and may time each word."""
    data = "WEBVTT\n\n00:01.000 --> 00:02.000\nso<00:01.500><c> this</c> &amp; 5 &lt; 6\n"
    assert read("a.vtt", data).text == "so this & 5 < 6"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.json", '{"rows": [{"k": "E7", "v": "oil"}]}', "k: E7; v: oil"),
        ("a.json", '// made by hand\n{"k": "E7", /* once */ "v": "a // b",}', "v: a // b"),
        ("a.json", '{"k": "E7"}\n{"k": "E8"}\n', "k: E7\nk: E8"),
        ("a.jsonl", '{\n "k": "E7"\n}\n{\n "k": "E8"\n}\n', "k: E7\nk: E8"),
        ("a.jsonl", '[{"k": "E7"},\n{"k": "E8"}]\n', "k: E7\nk: E8"),
        ("a.jsonl", '{"k": "E7"},\n{"k": "E8"},\n', "k: E7\nk: E8"),
    ],
)
def test_json_as_people_write_it_is_read(name: str, data: str, expected: str) -> None:
    """One record in a list, comments, commas too many, several values, a list where lines should be."""
    assert expected in read(name, data).text


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.md"])
def test_the_data_of_a_picture_is_left_out_with_a_warning(name: str) -> None:
    """Also in the values of JSON and CSV, and where an SVG is written with percent signs."""
    base64, svg = "data:image/png;base64," + "iVBORw0KGgo" * 90, "data:image/svg+xml;utf8," + "%3Csvg%20" * 90
    data = (
        json.dumps({"a": base64, "b": svg, "c": "a word"})
        if name == "a.json"
        else f"{base64} ,{svg} ,a word\n1,2,3\n"
    )
    loaded = read(name, data)
    assert "a word" in loaded.text
    assert "iVBOR" not in loaded.text
    assert "%20%3Csvg" not in loaded.text
    assert any("2 pictures" in str(one) for one in loaded.warnings)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.json"])
def test_files_inside_a_text_are_left_out_with_a_warning(name: str) -> None:
    """Base64 without a name, in one run or in lines; what is only long stays."""
    packed = base64.b64encode(bytes(number * 7919 % 251 for number in range(3000))).decode()
    lines = "\n".join(packed[at : at + 64] for at in range(0, 2560, 64))
    text = f"Left.\n{packed}\nRight.\n{lines}\n{'ACGT' * 300}\n{'ab12' * 300}\nEnd."
    loaded = read(name, json.dumps({"t": packed, "u": "ACGT" * 300}) if name == "a.json" else text)
    assert packed[:64] not in loaded.text
    assert "ACGT" * 300 in loaded.text
    assert any("left out" in str(one) for one in loaded.warnings)


def test_prose_between_rules_is_no_front_matter() -> None:
    """A sentence that begins with a word and a colon is read; fields are not."""
    assert "the pump is off" in read("a.md", "---\nNote: the pump is off.\n---\n\nMore.\n").text
    assert "注意：阀门已关闭。" in read("b.md", "---\n注意：阀门已关闭。\n---\n\n正文。\n").text
    assert "Valve: shut" in read("d.md", "---\n\nPump: off.\nValve: shut\n\n---\n\nMore.\n").text
    assert read("c.md", "---\ntitle: What is a pump?\n---\n\nMore.\n").text == "More."


def test_a_mail_with_an_empty_plain_part_or_none_is_read() -> None:
    """The HTML part stands in for an empty one; an invitation is read as it is."""
    head = "From: a@example.org\nSubject: x\nMIME-Version: 1.0\n"
    two = (
        "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n \n"
        "--b\nContent-Type: text/html\n\n<p>Only <b>here</b>.</p>\n--b--\n"
    )
    assert read("a.eml", head + two).text.endswith("Only here.")
    invitation = "Content-Type: text/calendar\n\nBEGIN:VEVENT\nSUMMARY:Pump check\nEND:VEVENT\n"
    assert "Pump check" in read("b.eml", head + invitation).text
