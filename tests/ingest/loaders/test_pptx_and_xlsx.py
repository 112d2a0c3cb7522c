"""Slides and sheets: text in order, charts, hidden parts."""

from __future__ import annotations

import io
from pathlib import Path

import pptx
import xlsxwriter
from PIL import Image
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from tests.support.loading import read


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
    """Values of charts, texts of linked pictures and raised digits are read; hidden slides are named."""
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


def test_boxes_beside_each_other_are_read_from_the_left_and_shares_in_per_cent() -> None:
    """Whoever places boxes by hand does not place them at one height; a chart's format counts."""
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    for text, left, top in (("right", 5, 2), ("left", 0, 2.05), ("below", 5, 3)):
        slide.shapes.add_textbox(Inches(left), Inches(top), Inches(2), Inches(0.5)).text_frame.text = text
    data = CategoryChartData(number_format="0%")
    data.categories = ["pump", "valve"]
    data.add_series("share", (0.25, 0.755))
    slide.shapes.add_chart(XL_CHART_TYPE.PIE, 0, Inches(4), Inches(3), Inches(3), data)
    buffer = io.BytesIO()
    presentation.save(buffer)
    assert read("a.pptx", buffer.getvalue()).text.split("\n\n") == [
        "left", "right", "below", "pump; share: 25%\nvalve; share: 76%",
    ]  # fmt: skip


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
