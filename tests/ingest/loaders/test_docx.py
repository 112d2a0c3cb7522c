"""DOCX: headings, lists, tables, notes and words as Word shows them."""

from __future__ import annotations

import io
import re
import zipfile

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn

from tests.support.loading import read, reason
from tests.support.office_files import run, word, words


def test_docx_keeps_headings_lists_and_tables_in_order() -> None:
    """A DOCX becomes Markdown, with its first heading as title and its author as metadata."""
    loaded = read("a.docx", word())
    assert loaded.text == (
        "# Rerank 重排\n\nFirst paragraph.\n\n## Details\n- one\n- two\n\nstage: rerank; keeps: 5"
    )
    assert loaded.title == "Rerank 重排"
    assert [heading.level for heading in loaded.headings] == [1, 2]
    assert loaded.metadata["author"] == "Wang"


def test_docx_words_are_what_word_shows() -> None:
    """Special characters stay in words; powers are raised; moved text is read once, deleted text not."""
    loaded = read(
        "a.docx",
        words(
            "<w:r><w:t>non</w:t><w:noBreakHyphen/><w:t>stick at 20</w:t>"
            '<w:sym w:font="Symbol" w:char="F0B0"/><w:t>C</w:t></w:r>',
            run("10") + run("6", '<w:vertAlign w:val="superscript"/>') + run(" grains"),
            f"<w:del>{run('old ')}</w:del><w:moveFrom>{run('Twice?')}</w:moveFrom>"
            f"<w:ins>{run('new')}</w:ins>",
            f"<w:moveTo>{run('Twice?')}</w:moveTo>" + run(" secret", "<w:vanish/>"),
        ),
    )
    assert loaded.text.split("\n\n") == ["non-stick at 20°C", "10⁶ grains", "new", "Twice?"]
    assert any("hidden" in warning for warning in loaded.warnings)


def test_what_hangs_on_a_docx_paragraph_is_read_after_it() -> None:
    """Footnotes, comments, text boxes; an equation stands in its place."""
    box = f"<w:p>{run('First line.')}</w:p><w:p>{run('Second line.')}</w:p>"
    over, under = "<m:num><m:r><m:t>a+b</m:t></m:r></m:num>", "<m:den><m:r><m:t>2</m:t></m:r></m:den>"
    frac = f"<m:oMath><m:f>{over}{under}</m:f></m:oMath>"
    loaded = read(
        "a.docx",
        words(
            run("Rent is due") + '<w:r><w:footnoteReference w:id="4"/></w:r>',
            run("Mean: ") + frac + '<w:r><w:commentReference w:id="0"/></w:r>',
            f"<w:r><w:pict><v:shape><v:textbox><w:txbxContent>{box}</w:txbxContent></v:textbox></v:shape></w:pict></w:r>",
            footnotes=f'<w:footnote w:id="4"><w:p>{run("But not in May.")}</w:p></w:footnote>',
            comments=f'<w:comment w:id="0" w:author="Ann"><w:p>{run("Check this.")}</w:p></w:comment>',
        ),
    )
    assert loaded.text.split("\n\n") == [
        "Rent is due[^1]",
        "[^1]: But not in May.",
        "Mean: (a+b)/2",
        "[Ann: Check this.]",
        "First line.",
        "Second line.",
    ]


def test_docx_headings_of_own_styles_and_numbers_of_lists_are_read() -> None:
    """A style based on a heading is one, and so is an outline level; lists carry the numbers of Word."""
    document = docx.Document()
    style = document.styles.add_style("Kapitel", WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = document.styles["Heading 2"]
    document.add_paragraph("Own chapter", style="Kapitel")
    level = document.add_paragraph("By outline")
    level._p.get_or_add_pPr().append(OxmlElement("w:outlineLvl"))
    level._p.pPr[-1].set(qn("w:val"), "0")
    for step in ("open", "close"):
        document.add_paragraph(step, style="List Number")
    document.sections[0].header.paragraphs[0].text = "Draft of the board"
    buffer = io.BytesIO()
    document.save(buffer)
    assert read("a.docx", buffer.getvalue()).text == (
        "## Own chapter\n\n# By outline\n1. open\n2. close\n\nDraft of the board"
    )


def test_items_within_items_are_set_in() -> None:
    """By the style of a list or the level of its numbering, as on pages and slides."""
    document = docx.Document()
    for text, style in (("pump", "List Bullet"), ("rotor", "List Bullet 2"), ("vane", "List Bullet 3")):
        document.add_paragraph(text, style=style)
    numbered = document.add_paragraph("valve", style="List Bullet")
    properties = numbered._p.get_or_add_pPr().get_or_add_numPr()
    properties.get_or_add_ilvl().val = 1
    buffer = io.BytesIO()
    document.save(buffer)
    assert read("a.docx", buffer.getvalue()).text.split("\n") == [
        "- pump",
        "  - rotor",
        "    - vane",
        "  - valve",
    ]


@pytest.mark.parametrize("changed", ["strict", "renamed", "macros"])
def test_a_docx_that_word_opens_is_read(changed: str) -> None:
    """Strict Open XML, a main part of another name, and a file with macros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word())) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.infolist():
            data, name = old.read(member), member.filename
            if changed == "strict":
                data = re.sub(
                    rb"http://schemas.openxmlformats.org/(officeDocument|wordprocessingml)/2006/",
                    rb"http://purl.oclc.org/ooxml/\1/",
                    data,
                )
            elif changed == "renamed":
                name = name.replace("word/document.xml", "word/main7.xml").replace(
                    "document.xml.rels", "main7.xml.rels"
                )
                data = data.replace(b"word/document.xml", b"word/main7.xml")
            else:
                data = data.replace(
                    b"openxmlformats-officedocument.wordprocessingml.document.main",
                    b"ms-word.document.macroEnabled.main",
                )
            new.writestr(name, data)
    suffix = "docm" if changed == "macros" else "docx"
    assert "First paragraph." in read(f"a.{suffix}", buffer.getvalue()).text


def test_an_empty_docx_is_refused() -> None:
    """A DOCX without text is refused as empty."""
    buffer = io.BytesIO()
    docx.Document().save(buffer)
    assert reason("a.docx", buffer.getvalue()) == "empty"
