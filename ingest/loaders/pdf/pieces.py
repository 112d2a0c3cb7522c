"""The characters of a PDF page as pieces: what is in one line without a wide gap, and where."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium

from ingest.loaders.text import superscript
from storage.records import whole

# A hyphen where a line ends, as PDFium marks it.
HYPHEN = "\ufffe"
# In line heights: the gap that parts cells, and that between the sign of a list's item and its text.
_CELL_GAP, _MARK_GAP = 1.0, 3.5
_WIDE_PAIR = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f]{2}")
_MARK = re.compile(r"\s*(?:[-*•●▪◦·–○■□➢]|\(?(?:\d{1,2}|[a-zA-Z]|[ivx]{2,4})[.)、])")

# What the fonts of code are called, and what else says that they are.
_FIXED = re.compile(rb"courier|mono(?!type)|consol|menlo|typewriter|cmtt|inconsolata|code", re.IGNORECASE)
_FIXED_PITCH, _FONT_NAME = 1, 100


@dataclass(slots=True)
class Piece:
    """Characters in one line without a wide gap; `height` is that of its letters. y grows upwards.

    `fixed`: its letters are all of one width, as those of code are.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float
    height: float
    fixed: bool = False

    @property
    def middle(self) -> float:
        return (self.bottom + self.top) / 2


def pieces(text_page: Any, rotation: int) -> tuple[list[Piece], list[Piece]]:
    """The pieces of a page in the order of its content: upright ones, and those that are turned."""
    found: list[Piece] = []
    turned: list[Piece] = []
    current: Piece | None = None
    box = pdfium.FS_RECTF()
    space = False
    for index in range(pdfium.FPDFText_CountChars(text_page)):
        code = pdfium.FPDFText_GetUnicode(text_page, index)
        if code in (0xFFFE, 0x02) and current is not None:  # a hyphen where the line ends
            current.text += HYPHEN
            current = None
        elif code in (10, 13):
            current = None
        elif code in (32, 160, 0x3000, 9) or pdfium.FPDFText_IsGenerated(text_page, index) == 1:
            space = True
        elif pdfium.FPDFText_GetLooseCharBox(text_page, index, ctypes.byref(box)):
            left, bottom, right, top = _turned(box, rotation)
            letter = chr(code) if code < 0x110000 else "\ufffd"
            if current is not None and _goes_on(current, left, bottom, right, top):
                _extend(current, letter, left, bottom, right, top, space=space)
                current.fixed = current.fixed and (not space or _is_fixed(text_page, index))
            elif _is_turned(text_page, index, rotation):
                if current is not None and turned and current is turned[-1]:
                    current.text += f" {letter}" if space else letter
                else:
                    current = Piece(letter, left, bottom, right, top, 0.0)
                    turned.append(current)
            else:
                current = Piece(
                    f" {letter}" if space else letter,
                    *(left, bottom, right, top, max(top - bottom, 1.0)),
                    fixed=_is_fixed(text_page, index),
                )
                found.append(current)
            space = False
    for piece in (*found, *turned):
        piece.text = whole(piece.text)  # PDFium gives the halves of a character one by one
    return found, turned


def _is_fixed(text_page: Any, index: int) -> bool:
    """True for a character of a font whose letters are all of one width."""
    name, flags = ctypes.create_string_buffer(_FONT_NAME), ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(text_page, index, name, _FONT_NAME, ctypes.byref(flags))
    return bool(flags.value & _FIXED_PITCH) or _FIXED.search(name.value) is not None


def _is_turned(text_page: Any, index: int, rotation: int) -> bool:
    angle = math.degrees(pdfium.FPDFText_GetCharAngle(text_page, index))
    return all(abs((angle - upright + 180) % 360 - 180) > 10 for upright in (rotation, -rotation))


def is_vertical(found: Sequence[Piece], turned: Sequence[Piece]) -> bool:
    """True for a page of columns from top to bottom (Japanese, Chinese), or one that lies on its side."""
    single = sum(len(piece.text) == 1 and piece.text > "\u2e7f" for piece in found)
    letters = sum(len(piece.text) for piece in turned)
    return single * 2 > len(found) + 4 or letters > sum(len(piece.text) for piece in found)


def _turned(box: Any, rotation: int) -> tuple[float, float, float, float]:
    """The box as a reader of the turned page sees it."""
    left, bottom, right, top = box.left, min(box.bottom, box.top), box.right, max(box.bottom, box.top)
    if rotation == 90:
        return bottom, -right, top, -left
    if rotation == 180:
        return -right, -top, -left, -bottom
    if rotation == 270:
        return -top, left, -bottom, right
    return left, bottom, right, top


def _goes_on(piece: Piece, left: float, bottom: float, right: float, top: float) -> bool:
    if piece.height == 0.0:  # turned
        return False
    gap = max(left - piece.right, piece.left - right)
    overlap = min(top, piece.top) - max(bottom, piece.bottom)
    widest = _MARK_GAP if _MARK.fullmatch(piece.text) else _CELL_GAP
    return gap <= widest * piece.height and overlap > 0.3 * min(top - bottom, piece.height)


def _extend(
    piece: Piece, letter: str, left: float, bottom: float, right: float, top: float, *, space: bool
) -> None:
    small = (top - bottom) < 0.8 * piece.height and bottom > piece.bottom + 0.2 * piece.height
    base = piece.text[-1:]
    if small and not space and letter in "0123456789+-−n" and (base.isalnum() or base in ")]⁺⁻"):
        letter = superscript(f"0{letter}")[1:]  # the power in 10⁶ is no digit of a number
    else:
        piece.height = max(piece.height, top - bottom)
    piece.text += f" {letter}" if space else letter
    piece.left, piece.right = min(piece.left, left), max(piece.right, right)
    piece.bottom, piece.top = min(piece.bottom, bottom), max(piece.top, top)


def joined(row: Sequence[Piece]) -> str:
    """The pieces of a row as one text, from the right where most of them are written so."""
    if sum(map(_from_the_right, (piece.text for piece in row))) * 2 > len(row):
        row = sorted(row, key=lambda piece: -piece.right)
    text = ""
    before: Piece | None = None
    for piece in row:
        if before is not None:
            gap = max(piece.left - before.right, before.left - piece.right)
            text += "" if gap < 0.15 * before.height else " "
        text += piece.text
        before = piece
    return " ".join(text.split())


def _from_the_right(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return sum("\u0590" <= letter <= "\u08ff" for letter in letters) * 2 > len(letters)


def unspaced(before: str, after: str) -> bool:
    """True where a broken line goes on without a space: between two wide characters."""
    return _WIDE_PAIR.fullmatch(before[-1:] + after[:1]) is not None


def width(text: str) -> int:
    """The width of a text in letters; Chinese characters count twice."""
    return sum(2 if character > "\u2e7f" else 1 for character in text)
