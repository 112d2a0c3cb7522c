"""Office files that cannot be read, or would fill the memory, have reasons."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.support.loading import read, reason
from tests.support.office_files import word


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx"])
def test_office_files_that_cannot_be_read_have_reasons(name: str) -> None:
    """Unreadable office files (text, cut or foreign archives, old or encrypted formats) have reasons."""
    assert reason(name, b"just text") == "damaged"
    assert reason(name, word()[:2000]) == "damaged"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert reason(name, buffer.getvalue()) == "unsupported"
    assert reason(name, b"\xd0\xcf\x11\xe0" + b"\0" * 600) == "encrypted"


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_a_part_that_only_fills_the_memory_is_left_out() -> None:
    """A picture of 64 MB of zeros is not unpacked; a text part of that kind refuses the file."""
    zeros = b"\0" * (64 << 20)
    assert "First paragraph." in read("a.docx", with_member(word(), "word/media/bomb.bin", zeros)).text
    assert reason("b.docx", with_member(word(), "word/bomb.xml", zeros)) == "too-large"
