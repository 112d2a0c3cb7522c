"""PDF, DOCX, PPTX and XLSX: text in order, landmarks, and reasons for what cannot be read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import docx
import pptx
import pypdfium2
import pytest
import xlsxwriter
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from ingest.loaders import Loaded, Source, load
from ingest.loaders.base import Limits
from ingest.loaders.pdf import unwrapped
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


def test_lines_that_the_page_broke_are_joined() -> None:
    """Words keep their spaces, Chinese gets none, hyphens at line ends go, headings and lists stay apart."""
    assert unwrapped("The reranker reads fifty candi\ufffe\r\ndates and keeps\r\nfive.\r\nNext.") == (
        "The reranker reads fifty candidates and keeps five.\nNext."
    )
    assert unwrapped("a line that reaches the margin and\r\ngoes on here.\r\n- an item of a list") == (
        "a line that reaches the margin and goes on here.\n- an item of a list"
    )
    assert (
        unwrapped("重排序把最好的候选放在前面，并且只\r\n保留五个。")
        == "重排序把最好的候选放在前面，并且只保留五个。"
    )


def test_a_pdf_without_a_text_layer_is_refused_and_a_gap_is_said() -> None:
    """A scan without a text layer is refused, and single pages without text are named."""
    assert reason("scan.pdf", pdf([], [])) == "no-text"
    loaded = read("a.pdf", pdf(["One page has text. " * 4] * 6, []))
    assert any("1 of 2 pages have no text layer: 2" in warning for warning in loaded.warnings)


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
    assert "no text layer" in loaded.warnings[0]


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
        "# Rerank 重排\n\nFirst paragraph.\n\n## Details\n- one\n- two\n\n"
        "| stage | keeps |\n| --- | --- |\n| rerank | 5 |"
    )
    assert loaded.title == "Rerank 重排"
    assert [heading.level for heading in loaded.headings] == [1, 2]
    assert loaded.metadata["author"] == "Wang"


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
