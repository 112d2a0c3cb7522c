"""A page of a PDF as a picture, with a quotation marked. A process of its own draws it, within limits.

PDFs come from anybody, and PDFium is C++: what brings it down, or keeps it busy, takes no server with it.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.errors import NotFoundError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

WIDTH = 1_000  # pixels
_MOST_HEIGHT = 3_000
_MOST_BYTES = 256 << 20
_MEMORY_BYTES = 1_500 << 20
_CPU_S = 15
# On a machine with much else to do it takes longer than its work.
_PATIENCE_S = 60


def picture(path: Path, page: int, quote: str) -> bytes:
    """Return the page (from 1), or the one after it where the quotation is there, as PNG. Blocking.

    It may take a gigabyte, so few should be drawn at once. Raises NotFoundError where it cannot be drawn.
    """
    gone = NotFoundError("the page cannot be shown", way_out="Its text is among the passages.")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise gone
    except OSError as error:
        raise gone from error
    try:
        asked = json.dumps({"path": str(path), "page": page, "quote": quote})
        command = [sys.executable, "-P", "-m", __name__]
        done = subprocess.run(
            command, input=asked.encode(), capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise gone from error
    if done.returncode or not done.stdout.startswith(b"\x89PNG"):
        raise gone
    return done.stdout


def _draw(path: str, page: int, quote: str) -> bytes:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    places = [one for one in (page - 1, page) if 0 <= one < len(document)]
    if not places:
        raise IndexError(page)
    boxes = {place: _boxes(document[place], quote) for place in places} if quote else {}
    place = next((one for one in places if boxes.get(one)), places[0])
    drawn = document[place]
    width, height = drawn.get_size()
    scale = min(WIDTH / width, _MOST_HEIGHT / height)
    pixels = drawn.render(scale=scale).to_numpy()[..., :3][..., ::-1].copy()
    for left, bottom, right, top in boxes.get(place, ()):
        rows = slice(max(0, int((height - top) * scale) - 1), max(0, int((height - bottom) * scale) + 2))
        columns = slice(max(0, int(left * scale) - 1), max(0, int(right * scale) + 2))
        pixels[rows, columns, 2] = pixels[rows, columns, 2] // 2  # yellow, and the letters stay black
    return png(pixels)


def _boxes(page: Any, quote: str) -> list[tuple[float, float, float, float]]:
    """Return the boxes of a quotation's characters: left, bottom, right, top; none where it is not there.

    Spaces and hyphens are left out of the comparison: lines are broken in other places than in the passage.
    """
    text = page.get_textpage()
    letters = [(sign, place) for place, sign in enumerate(text.get_text_range()) if _counts(sign)]
    wanted = "".join(filter(_counts, quote))
    at = "".join(sign for sign, _ in letters).find(wanted) if wanted else -1
    if at < 0:
        return []
    return [text.get_charbox(place) for _, place in letters[at : at + len(wanted)]]


def _counts(sign: str) -> bool:
    return not sign.isspace() and sign not in "-\u00ad\u2010\ufffe\x02"


def png(pixels: Pixels) -> bytes:
    """Return an RGB picture of shape (height, width, 3) as PNG."""
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "png")
    return written.getvalue()


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    import numpy  # noqa: F401 - its threads reserve memory before the limit

    _limit()
    sys.stdout.buffer.write(_draw(**json.load(sys.stdin)))
