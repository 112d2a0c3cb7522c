"""PDF pages: what goes on from one to the next, what each of them repeats, and lines that are items."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from ingest.loaders import Source, load

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
    """Its end goes to the column where it began."""

    def draw(canvas: Canvas) -> None:
        for line in range(25):
            for left, seed in ((50, line), (310, 50 + line)):
                text = " ".join(filler(seed).split()[:7])
                start = "lation is done. " if left == 310 and line == 0 else ""
                end = " instal-" if left == 50 and line == 24 else ""
                canvas.drawString(left, 760 - 14 * line, f"{start}{text[: 36 - len(start) - len(end)]}{end}")

    assert "installation\n\nis done." in text_of(draw)


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
