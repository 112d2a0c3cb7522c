"""DOCX files that tests write."""

from __future__ import annotations

import io

import docx
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml


def word() -> bytes:
    document = docx.Document()
    document.core_properties.author = "Wang"
    document.add_heading("Rerank 重排", 1)
    document.add_paragraph("First paragraph.")
    document.add_heading("Details", 2)
    document.add_paragraph("one", style="List Bullet")
    document.add_paragraph("two", style="List Bullet")
    table = document.add_table(2, 2)
    for i, text in enumerate(["stage", "keeps", "rerank", "5"]):
        table.cell(i // 2, i % 2).text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def words(*bodies: str, **parts: str) -> bytes:
    """A DOCX whose paragraphs are raw XML, with further parts of it by name."""
    document = docx.Document()
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    names = (
        f'xmlns:w="{space}" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
        'xmlns:v="urn:schemas-microsoft-com:vml"'
    )
    for body in bodies:
        document.element.body.insert(-1, parse_xml(f"<w:p {names}>{body}</w:p>"))
    for kind, inner in parts.items():
        name = PackURI(f"/word/{kind}.xml")
        blob = f"<w:{kind} {names}>{inner}</w:{kind}>".encode()
        part = Part(name, "application/xml", blob, document.part.package)
        document.part.relate_to(
            part, f"http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}"
        )
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def run(text: str, form: str = "") -> str:
    return f'<w:r><w:rPr>{form}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'
