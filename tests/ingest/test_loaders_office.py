"""PDF, DOCX, PPTX and XLSX: text in order, landmarks, and reasons for what cannot be read."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pptx
import pypdfium2
import pytest
import xlsxwriter
from docx.enum.style import WD_STYLE_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import qn
from PIL import Image
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from ingest.loaders import Loaded, Source, load
from ingest.loaders.base import Limits
from storage.errors import DocumentRefusedError


def read(name: str, data: bytes, limits: Limits | None = None) -> Loaded:
    return load(Source(f"/docs/{name}", data, limits or Limits()))


def reason(name: str, data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(DocumentRefusedError) as refused:
        read(name, data, limits)
    return refused.value.kind.removeprefix("ingest.")


def pdf(*pages: list[str], title: str = "", font: str = "Helvetica", encrypt: str | None = None) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, encrypt=encrypt)
    canvas.setTitle(title)
    for lines in pages:
        canvas.setFont(font, 12)
        for number, line in enumerate(lines):
            canvas.drawString(72, 780 - 16 * number, line)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def test_pdf_pages_title_and_text() -> None:
    """Each page starts at its offset; the title is the document's own."""
    loaded = read("a.pdf", pdf(["Rerank fifty candidates."], ["Keep the best five."], title="On reranking"))
    assert loaded.title == "On reranking"
    assert [(page.page, loaded.text[page.offset :][:6]) for page in loaded.pages] == [
        (1, "Rerank"),
        (2, "Keep t"),
    ]


def test_a_chinese_pdf_is_read() -> None:
    """A Chinese PDF whose font is not embedded is read."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    assert read("a.pdf", pdf(["民法典调整民事关系。"], font="STSong-Light")).text == "民法典调整民事关系。"


def column(canvas: Canvas, lines: list[str], x: float = 72, top: float = 700, step: float = 16) -> None:
    for number, line in enumerate(lines):
        canvas.drawString(x, top - step * number, line)


def drawn(draw: Callable[[Canvas], None], *more: Callable[[Canvas], None]) -> str:
    """The text of a PDF of pages that are drawn by functions."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    for page in (draw, *more):
        canvas.setFont("Helvetica", 12)
        page(canvas)
        canvas.showPage()
    canvas.save()
    return read("a.pdf", buffer.getvalue()).text


def test_lines_that_the_page_broke_are_joined() -> None:
    """Lines of a paragraph are joined; a list's items stay apart; Chinese gets no space at a line's end."""
    lines = [
        "The reranker reads fifty candidates and keeps those",
        "five that answer best.",
        "- an item of a list",
    ]
    assert drawn(lambda canvas: column(canvas, lines)) == (
        "The reranker reads fifty candidates and keeps those five that answer best.\n- an item of a list"
    )
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))

    def chinese(canvas: Canvas) -> None:
        canvas.setFont("STSong-Light", 12)
        column(canvas, ["第一条 重排序把最好的候选放在前面，并且只", "保留五个。"])

    assert drawn(chinese) == "第一条 重排序把最好的候选放在前面，并且只保留五个。"


def test_a_hyphen_at_a_lines_end_stays_where_the_word_has_one() -> None:
    """Before digits and capitals, in compounds, and where the document has the word so; otherwise it goes."""
    lines = [
        "The carriage moves the print head along a rail, and two-",
        "stage gears turn it. A head may be out-of-",
        "order; call 030-",
        "4711 about a Z-",
        "80 board or for the ink car-",
        "tridge of your printer, which is a re-",
        "entrant one; non re-entrant ones are older.",
    ]
    text = drawn(lambda canvas: column(canvas, lines))
    for words in ("two-stage", "out-of-order", "030-4711", "Z-80", "cartridge", "re-entrant one"):
        assert words in text


def test_columns_that_were_written_row_by_row_are_read_one_after_the_other() -> None:
    """Two columns under a title: the title, the whole left column, then the right one."""
    left = [
        "A kettle must be descaled every",
        "month where the water is hard.",
        "Vinegar does it in an hour, and",
        "citric acid in half of that time.",
    ]
    right = [
        "The guarantee ends two years",
        "after the day of the purchase,",
        "or when somebody has opened",
        "the housing with a screwdriver.",
    ]

    def page(canvas: Canvas) -> None:
        canvas.drawString(72, 740, "Kettles: how to care for them, and what is guaranteed for how long")
        for number, pair in enumerate(zip(left, right, strict=True)):
            canvas.drawString(72, 700 - 16 * number, pair[0])
            canvas.drawString(320, 700 - 16 * number, pair[1])

    text = drawn(page)
    assert text.index("half of that time.") < text.index("The guarantee ends two years after the day")
    assert text.startswith("Kettles: how to care for them")


def test_a_rule_of_signs_parts_the_paragraphs_of_a_pdf() -> None:
    """A receipt's total is in a line of its own; a rule is no part of the line below it."""
    rule = "-" * 40
    data = pdf(
        ["Hub 2 @ $79.99", rule, "SUBTOTAL $863.91", "Rewards -$25.00", "=" * 40, "TOTAL $821.14", rule]
    )
    assert load(Source("/x/a.pdf", data)).text == (
        "Hub 2 @ $79.99\n\nSUBTOTAL $863.91\nRewards -$25.00\n\nTOTAL $821.14"
    )


def test_a_row_of_a_pdf_table_is_a_line_under_the_names_of_its_columns() -> None:
    """Cells find their column, English and Chinese; a paragraph before the table stays one."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))

    def page(canvas: Canvas) -> None:
        canvas.setFont("STSong-Light", 12)
        canvas.drawString(72, 740, "The spare parts below can be ordered.")
        for number, row in enumerate(
            [("型号", "名称", "库存"), ("M8", "螺栓", "40"), ("R2", "密封 圈", "7"), ("B1", "轴承", "12")]
        ):
            for x, cell in zip((72, 200, 330), row, strict=True):
                canvas.drawString(x, 700 - 16 * number, cell)

    assert drawn(page).splitlines()[2:] == [
        "型号: M8; 名称: 螺栓; 库存: 40",
        "型号: R2; 名称: 密封 圈; 库存: 7",
        "型号: B1; 名称: 轴承; 库存: 12",
    ]


def test_a_pdf_table_goes_on_over_lines_and_pages() -> None:
    """A cell's second line belongs to its first; a table's names hold on the next page, repeated or not."""

    def page(rows: list[tuple[str, str, str]]) -> Callable[[Canvas], None]:
        def draw(canvas: Canvas) -> None:
            top = 780
            for row in rows:
                for x, cell in zip((72, 150, 400), row, strict=True):
                    for line, text in enumerate(cell.split("|")):
                        canvas.drawString(x, top - 14 * line, text)
                top -= 14 * max(cell.count("|") + 1 for cell in row) + 10

        return draw

    first = [("No", "Fault", "Hours"), ("F1", "The bearing is worn and must be|replaced at once", "6")]
    text = drawn(
        page([*first, ("F2", "The belt slips", "1")]),
        page(
            [
                ("F3", "The filter is full", "2"),
                ("F4", "The fuse is blown", "1"),
                ("F5", "The hose leaks", "3"),
            ]
        ),
        page([first[0], ("F6", "The lamp is dark", "1"), ("F7", "The door is stuck", "2")]),
    )
    assert text.split("\n")[0] == (
        "No: F1; Fault: The bearing is worn and must be replaced at once; Hours: 6"
    )
    lines = [line for line in text.split("\n") if line]
    assert [line[:6] for line in lines] == [f"No: F{i}" for i in range(1, 8)]
    assert lines[2] == "No: F3; Fault: The filter is full; Hours: 2"


def test_a_power_is_no_digit_of_its_number() -> None:
    """A raised digit becomes a raised character; a lowered one stays as it is."""

    def page(canvas: Canvas) -> None:
        text = canvas.beginText(72, 700)
        for words, size, rise in (
            ("At most 10", 12, 0),
            ("9", 7, 5),
            (" grains of CO", 12, 0),
            ("2", 7, -3),
            (" ice.", 12, 0),
        ):
            text.setFont("Helvetica", size)
            text.setRise(rise)
            text.textOut(words)
        canvas.drawText(text)

    assert drawn(page) == "At most 10⁹ grains of CO2 ice."


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_running_heads_and_page_numbers_stay_out_of_sentences(kind: int) -> None:
    """A head of every page is read once, a page's number not at all; a sentence goes on on the next page."""

    def page(number: int) -> Callable[[Canvas], None]:
        def draw(canvas: Canvas) -> None:
            canvas.drawString(72, 800, "Boiler handbook, third edition")
            column(
                canvas,
                [
                    f"Chapter {number} tells of valves, of which there are many kinds,",
                    "and the longest of its sentences is the one that begins",
                    "here, and then it goes on and on until it reaches the",
                    "very end of the page, where nothing of it is",
                ],
            )
            if number > 1:
                canvas.drawString(72, 600, "lost.")
            canvas.drawString(280, 40, [f"{number} / 3", f"- {number} -", f"· {number} ·"][kind])

        return draw

    text = drawn(page(1), page(2), page(3))
    assert text.count("Boiler handbook") == 1
    assert not any(number in text for number in ("/ 3", "- 2 -", "· 2 ·"))


def test_a_pdf_without_a_text_layer_is_refused_and_a_gap_is_said() -> None:
    """A scan without a text layer is refused, and single pages without text are named."""
    assert reason("scan.pdf", pdf([], [])) == "no-text"
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    for words in ("One page has text. " * 4, "Stamp 4711", ""):
        canvas.drawString(72, 780, words)
        if words.startswith("Stamp"):
            canvas.drawInlineImage(Image.new("L", (8, 8)), 0, 0, *A4)
        canvas.showPage()
    canvas.save()
    (warning,) = read("a.pdf", buffer.getvalue()).warnings[:1]
    assert "1 of 3 pages are pictures with next to no text: 2" in warning


def test_little_text_is_said() -> None:
    """A PDF with little more than page numbers draws a warning."""
    assert "little text" in read("a.pdf", pdf(["12"])).warnings[0]


def test_bookmarks_of_a_pdf_are_headings_where_their_titles_stand() -> None:
    """Bookmarks become headings at their title, or at the page's start if the title is not found."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    entries = [("Foreword", 0, "Some words."), ("Results", 0, "2 Results"), ("Costs 费用", 1, "Costs")]
    for number, (title, level, line) in enumerate(entries):
        canvas.bookmarkPage(str(number))
        canvas.addOutlineEntry(title, str(number), level)
        canvas.drawString(72, 780, "A running head.")
        canvas.drawString(72, 700, line)
        canvas.showPage()
    canvas.save()
    loaded = read("a.pdf", buffer.getvalue())
    assert [(heading.level, heading.title) for heading in loaded.headings] == [
        (1, "Foreword"),
        (1, "Results"),
        (2, "Costs 费用"),
    ]
    lines = [loaded.text[heading.offset :].splitlines()[0] for heading in loaded.headings]
    assert lines == ["A running head.", "2 Results", "A running head."]


def test_filled_in_fields_and_notes_of_a_pdf_are_read() -> None:
    """Filled-in fields and notes follow the page's text; empty fields are skipped; notes alone are text."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.drawString(72, 780, "Application")
    canvas.acroForm.textfield(name="city", tooltip="City", value="Málaga", x=72, y=700)
    canvas.acroForm.textfield(name="street", value="", x=72, y=650)
    canvas.acroForm.checkbox(name="agreed", checked=True, x=72, y=600)
    canvas.acroForm.checkbox(name="refused", checked=False, x=72, y=550)
    canvas.textAnnotation("See the second page.", (300, 700, 320, 720))
    canvas.save()
    text = read("a.pdf", buffer.getvalue()).text
    assert text.startswith("Application\n\nCity: Málaga\n\nagreed: Yes\n\n")
    assert text.endswith("See the second page.")
    assert "street" not in text
    assert "refused" not in text

    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.rect(72, 72, 100, 100)
    canvas.textAnnotation("A note on a scan.", (300, 700, 320, 720))
    canvas.save()
    loaded = read("scan.pdf", buffer.getvalue())
    assert loaded.text == "A note on a scan."


def test_pdfs_that_cannot_be_read_have_reasons() -> None:
    """An encrypted, truncated, mislabelled or overlong PDF is refused with its reason."""
    whole = pdf(["text"] * 20)
    assert reason("locked.pdf", pdf(["secret"], encrypt="password")) == "encrypted"
    assert reason("half.pdf", whole[: len(whole) // 3]) == "damaged"
    assert reason("other.pdf", b"PK\x03\x04 not a PDF") == "damaged"
    assert reason("long.pdf", pdf(["a"], ["b"], ["c"]), Limits(pages=2)) == "too-large"


def word() -> bytes:
    document = docx.Document()
    document.core_properties.author = "Wang"
    document.add_heading("Rerank 重排", 1)
    document.add_paragraph("First paragraph.")
    document.add_heading("Details", 2)
    document.add_paragraph("one", style="List Bullet")
    document.add_paragraph("two", style="List Bullet")
    table = document.add_table(2, 2)
    for i, text in enumerate(["stage", "keeps", "rerank", "5"]):
        table.cell(i // 2, i % 2).text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def test_docx_keeps_headings_lists_and_tables_in_order() -> None:
    """A DOCX becomes Markdown, with its first heading as title and its author as metadata."""
    loaded = read("a.docx", word())
    assert loaded.text == (
        "# Rerank 重排\n\nFirst paragraph.\n\n## Details\n- one\n- two\n\nstage: rerank; keeps: 5"
    )
    assert loaded.title == "Rerank 重排"
    assert [heading.level for heading in loaded.headings] == [1, 2]
    assert loaded.metadata["author"] == "Wang"


def words(*bodies: str, **parts: str) -> bytes:
    """A DOCX whose paragraphs are raw XML, with further parts of it by name."""
    document = docx.Document()
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    names = (
        f'xmlns:w="{space}" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
        'xmlns:v="urn:schemas-microsoft-com:vml"'
    )
    for body in bodies:
        document.element.body.insert(-1, parse_xml(f"<w:p {names}>{body}</w:p>"))
    for kind, inner in parts.items():
        name = PackURI(f"/word/{kind}.xml")
        blob = f"<w:{kind} {names}>{inner}</w:{kind}>".encode()
        part = Part(name, "application/xml", blob, document.part.package)
        document.part.relate_to(
            part, f"http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}"
        )
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def run(text: str, form: str = "") -> str:
    return f'<w:r><w:rPr>{form}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


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


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx"])
def test_office_files_that_cannot_be_read_have_reasons(name: str) -> None:
    """Unreadable office files (text, cut or foreign archives, old or encrypted formats) have reasons."""
    assert reason(name, b"just text") == "damaged"
    assert reason(name, word()[:2000]) == "damaged"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert reason(name, buffer.getvalue()) == "unsupported"
    assert reason(name, b"\xd0\xcf\x11\xe0" + b"\0" * 600) == "encrypted"


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_a_part_that_only_fills_the_memory_is_left_out() -> None:
    """A picture of 64 MB of zeros is not unpacked; a text part of that kind refuses the file."""
    zeros = b"\0" * (64 << 20)
    assert "First paragraph." in read("a.docx", with_member(word(), "word/media/bomb.bin", zeros)).text
    assert reason("b.docx", with_member(word(), "word/bomb.xml", zeros)) == "too-large"


def test_pptx_slides_are_pages_and_titles_headings() -> None:
    """A slide is a page: its title is a heading, then boxes from top to bottom, tables and notes."""
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Rerank 重排"
    slide.placeholders[1].text = "first\nsecond"
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    presentation.slides.add_slide(presentation.slide_layouts[5]).shapes.title.text = "Second slide"
    buffer = io.BytesIO()
    presentation.save(buffer)
    loaded = read("a.pptx", buffer.getvalue())
    assert loaded.text == "# Rerank 重排\n\nfirst\nsecond\n\nSay it slowly.\n\n# Second slide"
    assert [page.page for page in loaded.pages] == [1, 2]
    assert loaded.title == "Rerank 重排"


def test_pptx_charts_pictures_and_powers_are_read(tmp_path: Path) -> None:
    """What a chart shows, what a linked picture is said to be, a raised digit; hidden slides are named."""
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    data = CategoryChartData()
    data.categories = ["May", "June"]
    data.add_series("Guests", (5, 8))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 900_000, 900_000, data)
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    picture = slide.shapes.add_picture(str(tmp_path / "a.png"), 0, 1_000_000)
    picture._element.nvPicPr.cNvPr.set("descr", "The old mill")
    blip = picture._element.blipFill.find(f".//{{{picture._element.nsmap['a']}}}blip")
    relation = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
    blip.set(f"{relation}link", blip.attrib.pop(f"{relation}embed"))
    box = slide.shapes.add_textbox(0, 2_000_000, 900_000, 100_000).text_frame.paragraphs[0]
    box.add_run().text = "10"
    power = box.add_run()
    power.text = "4"
    power._r.get_or_add_rPr().set("baseline", "30000")
    presentation.slides.add_slide(presentation.slide_layouts[6])._element.set("show", "0")
    buffer = io.BytesIO()
    presentation.save(buffer)
    loaded = read("a.pptx", buffer.getvalue())
    assert loaded.text.split("\n\n") == ["Guests: 5\nGuests: 8", "The old mill", "10⁴"] or (
        "May; Guests: 5\nJune; Guests: 8" in loaded.text
        and "The old mill" in loaded.text
        and "10⁴" in loaded.text
    )
    assert any("hidden slide" in warning for warning in loaded.warnings)


def workbook(path: Path) -> bytes:
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet("Prices 价格")
    sheet.write(1, 1, "Prices of 2024")
    for i, row in enumerate([["fruit", "price"], ["pear", 3], ["梨", 2.5]]):
        sheet.write_row(3 + i, 1, row)
    book.add_worksheet("nothing")
    hidden = book.add_worksheet("hidden")
    hidden.write(0, 0, "secret")
    hidden.hide()
    book.close()
    return path.read_bytes()


def test_xlsx_sheets_are_headings_and_rows_lines(tmp_path: Path) -> None:
    """Sheets become headings, rows keep their numbers, and hidden sheets are skipped with a warning."""
    loaded = read("a.xlsx", workbook(tmp_path / "a.xlsx"))
    assert loaded.text == "# Prices 价格\n\nPrices of 2024\n\nfruit: pear; price: 3\nfruit: 梨; price: 2.5"
    assert [(loaded.text[row.offset :].split("\n")[0][:6], row.page) for row in loaded.rows] == [
        ("Prices", 2),
        ("fruit:", 5),
    ]
    assert loaded.headings[0].title == "Prices 价格"
    assert loaded.warnings == ("1 hidden sheet was left out",)


def test_parsers_do_not_leak_documents() -> None:
    """Reading a PDF many times leaks no documents."""
    data = pdf(["text"])
    assert {read("a.pdf", data).text for _ in range(50)} == {"text"}
    assert len(pypdfium2.PdfDocument(data)) == 1
