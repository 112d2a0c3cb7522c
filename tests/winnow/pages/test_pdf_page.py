"""A page of a PDF as a picture: the quotation is marked; what is hostile or gone takes nothing with it."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from storage.errors import NotFoundError
from tests.support.serving import serving
from winnow import Settings
from winnow.server.pages.pdf_page import picture

pytestmark = pytest.mark.heavy


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    """Two pages; a sentence that is broken over two lines is on the second."""
    pdf = Canvas(str(tmp_path / "manual.pdf"))
    pdf.drawString(60, 780, "Nothing is on this page.")
    pdf.showPage()
    pdf.drawString(60, 740, "The valve must be closed before the boiler is")
    pdf.drawString(60, 720, "opened for the inspection.")
    pdf.save()
    return tmp_path / "manual.pdf"


def _yellow(drawn: bytes) -> list[int]:
    """The rows of the picture that have yellow."""
    image = Image.open(io.BytesIO(drawn)).convert("RGB")
    return [
        y
        for y in range(image.height)
        if any(
            red > 200 and blue < 150
            for red, _, blue in (image.getpixel((x, y)) for x in range(0, image.width, 4))  # type: ignore[misc]
        )
    ]


def test_a_quotation_is_marked_on_every_line_that_it_has(manual: Path) -> None:
    """Lines are broken elsewhere than in the passage, and the passage began a page earlier: it is found."""
    quote = "The valve must be closed before the boiler is opened for the inspection."
    rows = _yellow(picture(manual, 1, quote))
    assert rows
    assert max(rows) - min(rows) > 30
    assert _yellow(picture(manual, 1, "It says nothing of the kind.")) == []


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\ngarbage", b"\0" * 10_000])
def test_what_is_no_pdf_is_no_picture(tmp_path: Path, content: bytes) -> None:
    """A damaged file is an error of its own, not of the server."""
    file = tmp_path / "odd.pdf"
    file.write_bytes(content)
    with pytest.raises(NotFoundError):
        picture(file, 1, "")


def test_a_page_that_is_not_there_is_no_picture(manual: Path) -> None:
    """The file may have changed since it was read, or be gone."""
    with pytest.raises(NotFoundError):
        picture(manual, 99, "")
    with pytest.raises(NotFoundError):
        picture(manual.with_name("gone.pdf"), 1, "")


def test_pages_are_drawn_one_after_the_other(manual: Path) -> None:
    """Beyond the queue a picture is refused with 429 and the seconds to wait, and other pages go on."""
    settings = Settings.load(data_dir=manual.with_name("data"), server={"queue": 1})
    with serving(settings) as server:
        server.pipeline.ingest(manual)
        [row] = server.get("/v1/documents").json()["documents"]
        [passage] = server.get(f"/v1/documents/{row['id']}").json()["passages"]
        address = f"/collections/default/documents/{row['id']}/page.png?passage={passage['chunk_id']}"
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(server.get, address) for _ in range(6)]
            assert server.get("/").status_code == 200
            replies = [one.result() for one in asked]
        assert {one.status_code for one in replies} == {200, 429}
        for one in replies:
            if one.status_code == 429:
                assert int(one.headers["retry-after"]) >= 1
                assert one.json()["code"] == "busy"
            else:
                assert one.content.startswith(b"\x89PNG")
