"""Reads pages that are pictures, by rapidocr (PaddleOCR's models, Chinese and English, in its package)."""

from __future__ import annotations

import importlib.util
import logging
from functools import cache
from typing import Any

from ingest.loaders.pdf.pieces import Piece
from storage.errors import MissingDependencyError

# Dots an inch at which the models read best what people scan.
_DPI = 200
# A line that the model is less sure of than this may be wrong.
UNSURE = 0.8


def check_installed() -> None:
    """Raise MissingDependencyError where the extra `ocr` is not installed."""
    if importlib.util.find_spec("rapidocr") is None:
        raise MissingDependencyError(
            "reading scanned pages needs rapidocr", way_out="pip install 'winnow-rag[ocr]'"
        )


def recognised(page: Any) -> tuple[list[Piece], list[float]]:
    """The lines of a page's picture, y upwards from its foot in points, and how sure each is (0 to 1)."""
    scale = _DPI / 72
    height = page.get_size()[1]
    found = _engine()(page.render(scale=scale).to_numpy())
    pieces, scores = [], []
    for box, text, score in zip(found.boxes, found.txts, found.scores, strict=True) if found.txts else ():
        (left, top), (right, bottom) = box.min(axis=0) / scale, box.max(axis=0) / scale
        pieces.append(Piece(text, left, height - bottom, right, height - top, max(1.0, bottom - top)))
        scores.append(float(score))
    return pieces, scores


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "error"})
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return engine
