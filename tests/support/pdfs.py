"""PDFs that tests write: lines of text, or whatever functions draw."""

from __future__ import annotations

import io
from collections.abc import Callable

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from tests.support.loading import read


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
