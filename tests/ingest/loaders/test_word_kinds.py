"""DOCX, ODT, RTF, PPTX: what a word processor shows is in the text, and what it does not show is not."""

from __future__ import annotations

import io
import zipfile

import pptx
import pytest
import xlsxwriter
from pptx.oxml.ns import qn as pptx_name
from pptx.util import Inches

from ingest.loaders import Loaded
from tests.support.loading import read
from tests.support.wordfile import paragraph, run, table, word_file

RAISED = '<w:vertAlign w:val="superscript"/>'


def word(body: str, *, styles: str = "", **parts: str) -> Loaded:
    return read("a.docx", word_file(body, styles=styles, **parts))


def test_what_was_deleted_in_a_review_is_not_read() -> None:
    """A deleted row is gone; a paragraph whose end was deleted goes on in the next."""
    body = (
        paragraph("open the ", "<w:rPr><w:del/></w:rPr>")
        + paragraph("valve")
        + table(("Part", "Qty"), ("hose", "3"), ("clamp", "5"), deleted=1)
    )
    assert word(body).text.split("\n\n") == ["open the valve", "Part: clamp; Qty: 5"]


def test_a_file_without_properties_has_none() -> None:
    """The library would call it `Word Document`, of today."""
    loaded = word(paragraph("Open the valve."))
    assert loaded.title == "a"
    assert "date" not in loaded.metadata


def test_the_fields_of_old_forms_are_read() -> None:
    """A box that is checked or not, and the choice of a list."""

    def field(inner: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{inner}</w:ffData></w:fldChar></w:r>'

    choices = '<w:listEntry w:val="red"/><w:listEntry w:val="blue"/>'
    body = (
        paragraph(field("<w:checkBox><w:checked/></w:checkBox>") + run(" tight"))
        + paragraph(field('<w:checkBox><w:default w:val="0"/></w:checkBox>') + run(" loose"))
        + paragraph(run("Paint: ") + field(f'<w:ddList><w:result w:val="1"/>{choices}</w:ddList>'))
    )
    assert word(body).text.split("\n\n") == ["☒ tight", "☐ loose", "Paint: blue"]


def test_a_control_that_only_asks_for_text_is_left_out() -> None:
    """Word shows `Click here to enter text` where nobody has; controls with a text are read."""

    def control(properties: str, text: str) -> str:
        content = f"<w:sdtContent>{run(text)}</w:sdtContent>"
        return f"<w:sdt><w:sdtPr>{properties}</w:sdtPr>{content}</w:sdt>"

    body = paragraph(run("By: ") + control("<w:showingPlcHdr/>", "Click here") + control("", "Ada"))
    assert word(body).text == "By: Ada"


def test_styles_of_runs_say_what_is_raised_or_hidden() -> None:
    """A character style counts as the run's own properties do; a note's mark stays one."""
    styles = (
        f'<w:style w:type="character" w:styleId="Up"><w:name w:val="Up"/><w:rPr>{RAISED}</w:rPr></w:style>'
        '<w:style w:type="character" w:styleId="Out"><w:name w:val="Out"/><w:rPr><w:vanish/></w:rPr>'
        "</w:style>"
    )
    mark = f'<w:r><w:rPr>{RAISED}</w:rPr><w:footnoteReference w:id="1"/></w:r>'
    body = paragraph(
        run("10")
        + run("4", '<w:rStyle w:val="Up"/>')
        + run(" Pa")
        + mark
        + run("!", '<w:rStyle w:val="Out"/>')
    )
    loaded = word(body, styles=styles, footnotes=f'<w:footnote w:id="1">{paragraph("Cold.")}</w:footnote>')
    assert loaded.text == "10⁴ Pa[^1]\n\n[^1]: Cold."
    assert any("hidden" in str(one) for one in loaded.warnings)


def test_signs_lettering_and_inner_boxes_are_read() -> None:
    """Wingdings as characters, WordArt as a text, a box within a box, the newer of two alternatives."""

    def box(inner: str) -> str:
        content = f"<v:textbox><w:txbxContent>{inner}</w:txbxContent></v:textbox>"
        return f"<w:r><w:pict><v:shape>{content}</v:shape></w:pict></w:r>"

    body = (
        paragraph('<w:r><w:sym w:font="Wingdings" w:char="F0FC"/></w:r>' + run(" done"))
        + paragraph('<w:r><w:pict><v:shape><v:textpath string="SAMPLE"/></v:shape></w:pict></w:r>')
        + paragraph(box(paragraph(run("Outer") + box(paragraph("Inner")))))
        + f"<mc:AlternateContent><mc:Choice>{paragraph('new')}</mc:Choice>"
        f"<mc:Fallback>{paragraph('old')}</mc:Fallback></mc:AlternateContent>"
    )
    assert word(body).text.split("\n\n") == ["✓ done", "SAMPLE", "Outer", "Inner", "new"]


def test_items_within_a_cell_have_their_numbers() -> None:
    """The numbers that Word writes count on in the cells of a table."""
    level = '<w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>'
    numbering = (
        f'<w:abstractNum w:abstractNumId="0">{level}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    )
    item = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
    cell = paragraph("close", item) + paragraph("drain", item)
    body = table(("Task", "Steps", "Min"), ("stop", cell, "5"), ("start", "open", "7"))
    assert (
        word(body, numbering=numbering).text.split("\n")[0] == "Task: stop; Steps: 1. close 2. drain; Min: 5"
    )


@pytest.mark.parametrize(
    ("inner", "shown"),
    [
        ('<m:d><m:dPr><m:begChr m:val="|"/><m:endChr m:val="|"/></m:dPr><m:e>{x}</m:e></m:d>', "|x|"),
        ("<m:d><m:e>{x}</m:e></m:d>", "(x)"),
        ("<m:limLow><m:e>{x}</m:e><m:lim>{x}</m:lim></m:limLow>", "x_x"),
    ],
)
def test_brackets_and_limits_of_equations_are_those_of_the_page(inner: str, shown: str) -> None:
    """Absolute values are not in parentheses; what stands below a limit is below it."""
    letter = "<m:r><m:t>x</m:t></m:r>"
    assert word(paragraph(f"<m:oMath>{inner.format(x=letter)}</m:oMath>")).text == shown


def test_an_embedded_document_is_warned_about() -> None:
    """A part of another format, which Word takes in when it opens the file, is not lost in silence."""
    loaded = word(paragraph("before") + '<w:altChunk r:id="r9"/>' + paragraph("after"))
    assert any("1 embedded document" in str(one) for one in loaded.warnings)


def test_numbered_paragraphs_of_a_slide_have_their_numbers() -> None:
    """PowerPoint counts; a paragraph without a number ends the count."""
    deck = pptx.Presentation()
    frame = (
        deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_textbox(0, 0, Inches(3), Inches(3)).text_frame
    )
    for text, scheme in (
        ("close", "arabicPeriod"),
        ("drain", "arabicPeriod"),
        ("note", ""),
        ("a bolt", "alphaLcParenR"),
    ):
        one = frame.paragraphs[0] if not frame.text else frame.add_paragraph()
        one.text = text
        if scheme:
            one._p.get_or_add_pPr().insert_element_before(
                one._p.makeelement(pptx_name("a:buAutoNum"), {"type": scheme})
            )
    buffer = io.BytesIO()
    deck.save(buffer)
    assert read("a.pptx", buffer.getvalue()).text.split("\n") == ["1. close", "2. drain", "note", "a) a bolt"]


def test_raised_digits_and_charts_of_a_workbook_are_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rich text keeps the power; the title of a chart is read, whose values are cells."""
    path = tmp_path_factory.mktemp("book") / "a.xlsx"
    book = xlsxwriter.Workbook(path)
    sheet, up = book.add_worksheet("S"), book.add_format({"font_script": 1})
    sheet.write_row(0, 0, ["Count", "Part", "Qty"])
    sheet.write_rich_string(1, 0, "10", up, "5", " each")
    sheet.write_row(1, 1, ["hose", 3])
    chart = book.add_chart({"type": "column"})
    chart.add_series({"values": "=S!$C$2:$C$2"})
    chart.set_title({"name": "Stock by part"})
    sheet.insert_chart("E5", chart)
    book.close()
    text = read("a.xlsx", path.read_bytes()).text
    assert "Count: 10⁵ each; Part: hose; Qty: 3" in text
    assert "Stock by part" in text


_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def open_document(body: str, styles: str = "", *, master: str = "", equation: str = "") -> Loaded:
    names = " ".join(
        f'xmlns:{name}="{_ODF}:{uri}:1.0"'
        for name, uri in {
            **{name: name for name in ("office", "text", "table", "style")},
            "draw": "drawing",
            "svg": "svg-compatible",
        }.items()
    )
    names += ' xmlns:xlink="http://www.w3.org/1999/xlink"'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "content.xml",
            f"<office:document-content {names}><office:automatic-styles>{styles}</office:automatic-styles>"
            f"<office:body><office:text>{body}</office:text></office:body></office:document-content>",
        )
        archive.writestr(
            "styles.xml",
            f"<office:document-styles {names}><office:master-styles>{master}</office:master-styles>"
            "</office:document-styles>",
        )
        archive.writestr("Object 1/content.xml", equation or "<math/>")
    return read("a.odt", buffer.getvalue())


def test_styles_of_an_odt_say_what_is_raised_hidden_or_numbered() -> None:
    """Digits of a power, hidden words with a warning, the numbers of a list that goes on."""
    styles = (
        '<style:style style:name="U"><style:text-properties style:text-position="super 58%"/></style:style>'
        '<style:style style:name="H"><style:text-properties text:display="none"/></style:style>'
        '<text:list-style style:name="L"><text:list-level-style-number text:level="1" style:num-format="a"'
        ' style:num-suffix=")"/></text:list-style>'
    )
    item = "<text:list-item><text:p>{}</text:p></text:list-item>"
    body = (
        '<text:p>10<text:span text:style-name="U">3</text:span>'
        '<text:span text:style-name="H">!</text:span></text:p>'
        f'<text:list text:style-name="L">{item.format("close")}{item.format("drain")}</text:list>'
        f'<text:list text:style-name="L" text:continue-numbering="true">{item.format("open")}</text:list>'
    )
    loaded = open_document(body, styles)
    assert loaded.text == "10³\na) close\nb) drain\nc) open"
    assert any("hidden" in str(one) for one in loaded.warnings)


def test_equations_and_margins_of_an_odt_are_read() -> None:
    """An embedded equation as it was written; what stands at the head of pages, at the end."""
    body = '<text:p>So <draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>.</text:p>'
    equation = (
        '<math xmlns="http://www.w3.org/1998/Math/MathML"><semantics><mi>v</mi>'
        "<annotation>v = s over t</annotation></semantics></math>"
    )
    master = (
        "<style:master-page><style:header><text:p>Draft of May</text:p></style:header></style:master-page>"
    )
    assert open_document(body, master=master, equation=equation).text == "So v = s over t.\n\nDraft of May"


@pytest.mark.parametrize(
    ("rtf", "expected"),
    [
        (
            r"It rained{\super\chftn}{\footnote \pard For days.} here.\par Next.\par",
            "It rained[^1] here.\n\n[^1]: For days.\n\nNext.",
        ),
        (r"Pay {\deleted ten }twenty {\v not this}now.\par", "Pay twenty now."),
        (r"Some \v secret\v0 words.\par", "Some words."),
        (r"10{\super 7} cells\par", "10⁷ cells"),
        (
            r"One{\shp{\*\shpinst{\sp{\sn a}{\sv 1}}{\shptxt In a box.\par}}}.\par Two.\par",
            "One.\n\nIn a box.\n\nTwo.",
        ),
        (r"Text{\*\annotation Is it so?}.\par", "Text.\n\n[Is it so?]"),
        (r"{\header Draft\par}{\footer Draft\par}Body.\par", "Body.\n\nDraft"),
    ],
)
def test_rtf_is_read_as_its_pages_show_it(rtf: str, expected: str) -> None:
    """Notes, boxes, comments and margins are read in their place; deleted and hidden text is not."""
    blocks = read("a.rtf", rf"{{\rtf1\ansi {rtf}}}").text.split("\n\n")
    assert [block.strip().replace("  ", " ") for block in blocks] == expected.split("\n\n")


def test_a_table_of_rtf_has_its_names() -> None:
    """Cells under the names of their columns; a cell of several lines, and one with a bar, is one cell."""
    row = r"\trowd\cellx1\cellx2\pard\intbl {}\cell {}\cell\row"
    rows = (row.format("Part", "Qty"), row.format(r"hose\par red", "3"), row.format("clamp|ring", "5"))
    text = read("a.rtf", rf"{{\rtf1\ansi {''.join(rows)}\pard After\par}}").text
    assert text.split("\n\n") == ["Part: hose red; Qty: 3\nPart: clamp|ring; Qty: 5", "After"]
