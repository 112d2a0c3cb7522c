"""Lines of a PDF become paragraphs, columns and table rows; running heads stay out of sentences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from ingest.loaders import Source, load
from tests.support.pdfs import column, drawn, pdf


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
