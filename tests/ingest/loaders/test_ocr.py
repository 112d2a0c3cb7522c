"""Pages that are pictures, read by the extra `ocr`."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from ingest.loaders import Source, load
from ingest.options import IngestOptions
from storage.errors import DocumentRefusedError, MissingDependencyError
from tests.support.ingestion import world

INSTALLED = importlib.util.find_spec("rapidocr") is not None


def scan() -> bytes:
    """A PDF of one page that is a picture of a sentence."""
    picture = Image.new("L", (1240, 400), 255)
    ImageDraw.Draw(picture).text((60, 150), "Close the blue valve first.", font=ImageFont.load_default(60))
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(595, 192))
    canvas.drawImage(ImageReader(picture), 0, 0, 595, 192)
    canvas.save()
    return buffer.getvalue()


def test_a_scan_is_refused_with_the_way_out() -> None:
    """Without OCR a document of pictures holds no text, and the reason names the option."""
    with pytest.raises(DocumentRefusedError) as refused:
        load(Source("/docs/a.pdf", scan()))
    assert "--ocr" in refused.value.why


@pytest.mark.skipif(INSTALLED, reason="the extra ocr is installed")
def test_ocr_without_the_extra_is_an_error_that_names_it(tmp_path: Path) -> None:
    """The run does not begin, and the way out is the command that installs the extra."""
    with world(tmp_path) as here, pytest.raises(MissingDependencyError) as missing:
        here.ingest(options=IngestOptions(workers=1, ocr=True))
    assert "winnow-rag[ocr]" in (missing.value.way_out or "")


@pytest.mark.heavy
@pytest.mark.skipif(not INSTALLED, reason="the extra ocr is not installed")
def test_a_scan_is_read_by_ocr() -> None:
    """The words of the picture are the text, and a warning says how sure they are."""
    loaded = load(Source("/docs/a.pdf", scan(), ocr=True))
    assert "Close the blue valve first" in loaded.text
    assert any("OCR" in warning for warning in loaded.warnings)
