"""Files that unpack to far more than they are: bounded by what they really unpack to, in little memory."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from docx import Document as Docx

from ingest.loaders.base import MIB, Limits, Source, worker_memory
from ingest.loaders.registry import load
from storage.errors import DocumentRefusedError

REAL = 128 * MIB


@contextmanager
def _little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < REAL // 4, f"{peak >> 20} MiB were held at once"


def _docx(name: str, content: bytes) -> bytes:
    """A real DOCX, to which a part is added or in which one is replaced."""
    document, made, changed = Docx(), io.BytesIO(), io.BytesIO()
    document.add_paragraph("The lighthouse was lit in winter, and the harbour was calm.")
    document.save(made)
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            if member.filename != name:
                new.writestr(member, old.read(member))
        new.writestr(name, content)
    return changed.getvalue()


def _lying(data: bytes, name: str) -> bytes:
    """The archive with a small size for that part, in its entry and in the directory."""
    changed = bytearray(data)
    for magic, offset, names in ((b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)):
        start = data.find(magic)
        while start >= 0:
            if data[start + names : start + names + len(name)] == name.encode():
                struct.pack_into("<I", changed, start + offset, 1_000)
            start = data.find(magic, start + 1)
    return bytes(changed)


@pytest.mark.parametrize("name", ["word/document.xml", "word/styles.xml"])
def test_a_part_with_text_that_lies_about_its_size_is_refused(name: str) -> None:
    """Its header says 1,000 bytes; what it is shows while it is unpacked piece by piece."""
    data = _lying(_docx(name, b"<a>" + b" " * REAL + b"</a>"), name)
    with _little_memory(), pytest.raises(DocumentRefusedError) as caught:
        load(Source("harbour.docx", data))
    assert caught.value.kind == "ingest.damaged"


def test_any_other_part_that_lies_is_left_out() -> None:
    """A picture of that kind costs neither the memory nor the document."""
    name = "word/media/image1.png"
    data = _lying(_docx(name, bytes(REAL)), name)
    with _little_memory():
        assert "The lighthouse was lit" in load(Source("harbour.docx", data)).text


def _pdf(content: bytes, dictionary: bytes = b"") -> bytes:
    packed = zlib.compress(content)
    return (
        b"%PDF-1.4\n1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj\n"
        b"2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj\n"
        b"3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R"
        b"/Resources<</Font<</F 5 0 R>>>>>> endobj\n"
        b"5 0 obj <</Type/Font/Subtype/Type1/BaseFont/Helvetica>> endobj\n"
        b"4 0 obj <</Filter/FlateDecode" + dictionary + b"/Length %d>>\nstream\n" % len(packed)
        + packed + b"\nendstream endobj\ntrailer <</Root 1 0 R>>\n"
    )  # fmt: skip


TEXT = b"BT /F 12 Tf 10 100 Td (The lighthouse was lit in winter and the harbour was calm.) Tj ET\n"


def test_a_page_that_unpacks_to_more_than_a_page_can_hold_is_refused() -> None:
    """It is not given to the engine, which would hold it several times."""
    data = _pdf(TEXT + b" " * REAL)
    with _little_memory(), pytest.raises(DocumentRefusedError) as caught:
        load(Source("harbour.pdf", data))
    assert caught.value.kind == "ingest.too-large"


def test_a_page_and_a_large_picture_are_read() -> None:
    """A page of some megabytes, and a picture that unpacks to hundreds, are no attack."""
    assert "lighthouse" in load(Source("harbour.pdf", _pdf(TEXT + b" " * (8 * MIB)))).text
    picture = _pdf(bytes(80 * MIB), b"/Subtype/Image")
    page = _pdf(TEXT).replace(b"4 0", b"6 0")
    both = page + picture[picture.index(b"4 0 obj") : picture.index(b"trailer")]
    assert "lighthouse" in load(Source("harbour.pdf", both)).text


def test_the_memory_of_a_parsing_process_follows_the_machine() -> None:
    """Half of it, at least 1 GiB and at most 4."""
    assert [worker_memory(found) // MIB for found in (None, 512 * MIB, 4096 * MIB, 65536 * MIB)] == [
        4096,
        1024,
        2048,
        4096,
    ]
    assert 1024 * MIB <= Limits().worker_bytes <= 4096 * MIB
