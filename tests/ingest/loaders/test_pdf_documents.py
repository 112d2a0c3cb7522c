"""A PDF's pages, title, bookmarks, fields and notes, and reasons for what cannot be read."""

from __future__ import annotations

import io

import pypdfium2
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from tests.support.loading import read, reason
from tests.support.pdfs import pdf


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
    assert reason("long.pdf", pdf(["a"], ["b"], ["c"]), pages=2) == "too-large"


def test_parsers_do_not_leak_documents() -> None:
    """Reading a PDF many times leaks no documents."""
    data = pdf(["text"])
    assert {read("a.pdf", data).text for _ in range(50)} == {"text"}
    assert len(pypdfium2.PdfDocument(data)) == 1
