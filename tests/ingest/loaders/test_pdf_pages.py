"""PDF pages: what goes on from one to the next, what each of them repeats, and lines that are items."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from ingest.loaders import Source, load
from tests.support.pdfs import column, drawn

WORDS = ("pump", "valve", "motor", "seal", "water", "flow", "steel", "pipe", "open", "close", "oil", "plant")


def text_of(draw: Callable[[Canvas], None]) -> str:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    draw(canvas)
    canvas.save()
    return load(Source("/docs/a.pdf", buffer.getvalue())).text


def filler(seed: int) -> str:
    """A line of prose that is as wide as the page."""
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(13))


def test_a_word_that_two_pages_part_is_whole() -> None:
    """Its end goes to the page where it began; a hyphen that belongs to it stays."""

    def draw(canvas: Canvas) -> None:
        for page, (first, last) in enumerate(
            [("", " instal-"), ("lation is done by two people. ", " a multi-"), ("stage pump. ", "")]
        ):
            for line in range(30):
                text = (first if line == 0 else "") + filler(40 * page + line) + (last if line == 29 else "")
                canvas.drawString(60, 760 - 14 * line, text)
            canvas.showPage()

    text = text_of(draw)
    assert "installation is done" in text
    assert "a multi-stage pump." in text


def test_a_word_that_two_columns_part_is_whole() -> None:
    """Its end goes to the column where it began, and the sentence goes on."""

    def draw(canvas: Canvas) -> None:
        for line in range(25):
            for left, seed in ((50, line), (310, 50 + line)):
                text = " ".join(filler(seed).split()[:7])
                start = "lation is done. " if left == 310 and line == 0 else ""
                end = " instal-" if left == 50 and line == 24 else ""
                canvas.drawString(left, 760 - 14 * line, f"{start}{text[: 36 - len(start) - len(end)]}{end}")

    assert "installation is done." in text_of(draw)


def test_a_running_head_with_a_page_of_pages_is_read_once() -> None:
    """A number of pages after the number of the page makes it no other line."""

    def draw(canvas: Canvas) -> None:
        for page in range(1, 5):
            canvas.drawString(60, 812, f"Guide to valves, revision B    {page}/4")
            for line in range(30):
                canvas.drawString(60, 760 - 14 * line, filler(40 * page + line))
            canvas.showPage()

    text = text_of(draw)
    assert text.count("Guide to valves") == 1
    assert "3/4" not in text


def test_items_of_few_words_are_lines() -> None:
    """Short lines are not wrapped text, however narrow what stands around them is."""

    def draw(canvas: Canvas) -> None:
        for line, text in enumerate(["7 hoses red", "4 clamps big", "9 rings old"]):
            canvas.drawString(60, 760 - 14 * line, text)

    assert text_of(draw).split("\n") == ["7 hoses red", "4 clamps big", "9 rings old"]


def test_lines_of_code_stay_lines_with_their_indents() -> None:
    """Letters of one width are code beside prose in another font; a text all of them is prose."""
    code = ["while open(valve) > limits.bar_now:", "    close(valve) # one turn at a time", "", "stop()"]

    def manual(canvas: Canvas) -> None:
        column(canvas, ["This program closes a valve step by step until the", "pressure is low enough."])
        canvas.setFont("Courier", 10)
        column(canvas, code, x=90, top=660, step=12)
        canvas.setFont("Helvetica", 12)
        column(canvas, ["It runs once a minute on the small computer of the", "pump."], top=600)

    assert drawn(manual).split("\n\n") == [
        "This program closes a valve step by step until the pressure is low enough.",
        "\n".join(code[:2]),
        "stop()",
        "It runs once a minute on the small computer of the pump.",
    ]

    def typed(canvas: Canvas) -> None:
        canvas.setFont("Courier", 12)
        column(canvas, ["A letter from a typewriter goes on over the end", "of its lines."])

    assert drawn(typed) == "A letter from a typewriter goes on over the end of its lines."


@pytest.mark.parametrize("first", [660, 654, 648], ids=["head", "middle", "foot"])
def test_a_cell_of_several_lines_is_in_its_row_wherever_the_others_stand(first: int) -> None:
    """The white between the rows says which lines belong together."""

    def faults(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 10)
        for x, name in ((72, "Code"), (150, "Fault"), (300, "Class")):
            canvas.drawString(x, 680, name)
        column(
            canvas, ["Pump makes a strong vib-", "ration and it stops", "after some seconds"], 150, 660, 12
        )
        for y, cells in ((first, ("E1", "", "B")), (616, ("E2", "Leak", "A")), (596, ("E3", "Dirt", "C"))):
            for x, cell in zip((72, 150, 300), cells, strict=True):
                canvas.drawString(x, y, cell)

    assert drawn(faults).split("\n") == [
        "Code: E1; Fault: Pump makes a strong vibration and it stops after some seconds; Class: B",
        "Code: E2; Fault: Leak; Class: A",
        "Code: E3; Fault: Dirt; Class: C",
    ]


def test_a_sentence_goes_on_in_the_next_column_and_chinese_in_its_cell() -> None:
    """A title in Chinese does not; a cell's line that the column broke gets no space."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    title = "离心式水泵轴承故障诊断方法的研究与工程应用分析"
    left = [
        "本文讨论水泵。轴承在运行时会发热，因",
        "此必须每月检查一次油位，并且在温度过",
        "高时立即停机，否则密封圈会损坏，而电",
    ]
    right = [
        "机也会过载。第二节说明测量的方法，其",
        "中包括振动和温度。所有的数据都来自现",
        "场的记录，每分钟保存一次，共有三年。",
    ]

    def paper(canvas: Canvas) -> None:
        canvas.setFont("STSong-Light", 12)
        canvas.drawString(72, 780, title)
        column(canvas, left, x=72, top=740)
        column(canvas, right, x=320, top=740)
        for y, cells in (
            (500, ("编号", "故障", "等级")),
            (478, ("E1", "启动后停机并且面", "甲")),
            (440, ("E2", "漏水", "乙")),
        ):
            for x, cell in zip((72, 150, 300), cells, strict=True):
                canvas.drawString(x, y, cell)
        canvas.drawString(150, 462, "板报警")

    assert drawn(paper).split("\n\n") == [
        title,
        "".join(left + right),
        "编号: E1; 故障: 启动后停机并且面板报警; 等级: 甲\n编号: E2; 故障: 漏水; 等级: 乙",
    ]


def test_short_pages_have_running_heads_and_numbers_too() -> None:
    """One line at each edge is enough to see that it comes back; a hyphen before a gap stays."""

    def page(number: int) -> Callable[[Canvas], None]:
        def draw(canvas: Canvas) -> None:
            canvas.drawString(72, 810, f"Operating manual XR-2000 Chapter {number}")
            column(canvas, [f"Valve {number} is opened by hand before the pump is under pres-"])
            canvas.drawString(72, 600, "Valves are checked once a year.")
            canvas.drawString(280, 30, f"- {number} -")

        return draw

    text = drawn(page(1), page(2), page(3))
    assert text.count("Operating manual") == 1
    assert "- 2 -" not in text
    assert "under pres-\n" in text
