"""Formats that people have besides documents and tables: mail, notebooks, books, subtitles, source code."""

from __future__ import annotations

import io
import json
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from ingest.engines.tasks import Done, Parsed, Setup, Task
from ingest.parse import Parser
from storage.errors import DocumentRefusedError
from tests.support import outlook
from tests.support.ingestion import words_tokenizer
from tests.support.loading import read


def parsed(path: Path) -> dict[str, Parsed]:
    """The documents that a file gives, by what follows its own name."""
    replies = list(Parser(Setup(counter=words_tokenizer(), max_tokens=64)).parse(Task(str(path), str(path))))
    assert isinstance(replies[-1], Done)
    return {reply.source.removeprefix(str(path)): reply for reply in replies if isinstance(reply, Parsed)}


def text_of(document: Parsed) -> str:
    return "\n".join(chunk.text for chunk in document.chunks)


def message(body: str, *, charset: str = "utf-8") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Zoë <zoe@example.org>"
    mail["To"] = "ops@example.org"
    mail["Subject"] = "Überdruck am Kessel 3"
    mail["Date"] = "Tue, 04 Feb 2025 08:30:00 +0100"
    mail.set_content(body, charset=charset, cte="base64")
    return mail


def test_a_mail_is_read_with_its_attachments_as_documents(tmp_path: Path) -> None:
    """The body is decoded; attachments are documents of their own; what nothing can read is named."""
    mail = message("Bitte das Ventil prüfen. 阀门", charset="utf-8")
    mail.add_attachment(b"valve,bar\nV7,3\n", maintype="text", subtype="csv", filename="readings.csv")
    mail.add_attachment(
        b"\x89PNG\r\n\x1a\n" + bytes(90), maintype="image", subtype="png", filename="logo.png"
    )
    mail.add_attachment(message("The one before."))
    path = tmp_path / "a.eml"
    path.write_bytes(mail.as_bytes())
    found = parsed(path)
    body = found[""]
    assert "Bitte das Ventil prüfen. 阀门" in text_of(body)
    assert "From: Zoë <zoe@example.org>" in text_of(body)
    assert body.title == "Überdruck am Kessel 3"
    assert body.chunks[0].metadata["date"] == "2025-02-04"
    assert text_of(found["#readings.csv"]) == "valve: V7; bar: 3"
    assert found["#readings.csv"].mime == "text/csv"
    assert any(
        "The one before." in text_of(document) for source, document in found.items() if ".eml" in source
    )
    assert any("logo.png" in warning for warning in body.warnings)


def test_a_mail_of_html_only_is_read() -> None:
    """Where there is no plain body the HTML one is read; a charset that nobody knows is guessed."""
    mail = EmailMessage()
    mail["Subject"] = "News"
    mail.set_content("<h1>Spring</h1><p>New <b>hoses</b>.</p>", subtype="html")
    assert read("a.eml", mail.as_bytes()).text.endswith("# Spring\n\nNew hoses.")
    raw = b"Subject: x\nContent-Type: text/plain; charset=x-unknown\nContent-Transfer-Encoding: 8bit\n\n"
    assert "Schlüssel für die Tür" in read("b.eml", raw + "Schlüssel für die Tür".encode()).text


def multipart(kind: str, *parts: str) -> str:
    """A part of parts, or a whole mail, as text."""
    edge = kind.upper()
    inner = "".join(f"--{edge}\n{part}\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary={edge}\n\n{inner}--{edge}--\n"


def part(kind: str, text: str, more: str = "") -> str:
    return f"Content-Type: {kind}; charset=utf-8\n{more}\n{text}\n"


FOOT = part("text/plain", "You are on the list.")


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (  # a mailing list adds a foot to a page with its picture
            multipart("mixed", multipart("related", part("text/html", "<p>The page.</p>")), FOOT),
            ["The page.", "You are on the list."],
        ),
        (  # a signed mail with a part of parts
            multipart("signed", multipart("mixed", part("text/plain", "Signed."), FOOT)),
            ["Signed.", "You are on the list."],
        ),
        (  # the same twice, once with a file in it
            multipart(
                "alternative",
                part("text/plain", "Words."),
                multipart(
                    "mixed", part("text/html", "<p>Words.</p>"), part("text/csv; name=a.csv", "a,b\n1,2")
                ),
            ),
            ["Words."],
        ),
        (  # a plain text of nothing, and an invitation
            multipart(
                "alternative",
                part("text/plain", " "),
                part("text/html", "<p>Please come.</p>"),
                part(
                    "text/calendar",
                    "BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nDTSTART:1970\nEND:VTIMEZONE\nBEGIN:VEVENT\nUID:7\n"
                    "DTSTART;TZID=Europe/Oslo:20250210T090000\nSUMMARY:Pump\n  review\n"
                    "LOCATION:Hall 5\\, Bergen\n"
                    "END:VEVENT\nEND:VCALENDAR",
                ),
            ),
            ["Please come.", "DTSTART: 20250210T090000\nSUMMARY: Pump review\nLOCATION: Hall 5, Bergen"],
        ),
    ],
)
def test_every_text_that_a_mail_shows_is_read_once(body: str, texts: list[str]) -> None:
    """Whatever parts are within parts; of the same in several formats only one is read."""
    loaded = read("a.eml", f"From: li@example.org\nSubject: x\nMIME-Version: 1.0\n{body}")
    assert loaded.text.split("\n\n")[1:] == texts
    assert [one.name for one in loaded.attachments] == (["a.csv"] if "a.csv" in body else [])


def test_a_message_of_outlook_is_read_with_its_attachments(tmp_path: Path) -> None:
    """Subject, sender and body of an MSG; an attachment by its long name."""
    path = tmp_path / "a.msg"
    path.write_bytes(
        outlook.message(
            {
                0x001A: "IPM.Note",
                0x0037: "水泵检修",
                0x0042: "Li Na",
                0x1000: "请更换密封圈。",
            },
            [{0x3705: 1, 0x3707: "parts.csv", 0x3701: b"part,pieces\nseal,4\n"}],
        )
    )
    found = parsed(path)
    assert found[""].title == "水泵检修"
    assert "请更换密封圈。" in text_of(found[""])
    assert "Li Na" in text_of(found[""])
    assert text_of(found["#parts.csv"]) == "part: seal; pieces: 4"


def test_a_notebook_is_read_cell_by_cell() -> None:
    """Text, code in fences, output as text; pictures are left out; headings count."""
    cells = [
        {"cell_type": "markdown", "source": ["# Yield\n", "By *plot*."]},
        {
            "cell_type": "code",
            "source": "mean(x)",
            "outputs": [
                {"output_type": "execute_result", "data": {"text/plain": ["4.25"], "image/png": "iVBOR"}},
                {"output_type": "error", "ename": "ValueError", "evalue": "no plot"},
            ],
        },
    ]
    notebook = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}
    loaded = read("a.ipynb", json.dumps(notebook))
    assert loaded.text == (
        "# Yield\nBy *plot*.\n\n```python\nmean(x)\n```\n\n```\n4.25\n```\n\n```\nValueError: no plot\n```"
    )
    assert loaded.title == "Yield"
    with pytest.raises(DocumentRefusedError):
        read("b.ipynb", "[1, 2]")


def test_rtf_is_read_in_its_code_page() -> None:
    """Characters of the declared code page, of Unicode escapes, and of two bytes."""
    assert read("a.rtf", rb"{\rtf1\ansi\ansicpg1252 Gr\'fc\'dfe, \u26412?\par Zweite Zeile.}").text == (
        "Grüße, 本\n\nZweite Zeile."
    )
    chinese = b"".join(b"\\'%02x" % byte for byte in "阀门".encode("gbk"))
    assert read("b.rtf", b"{\\rtf1\\ansi\\ansicpg936 " + chinese + b" K3}").text == "阀门 K3"
    with pytest.raises(DocumentRefusedError):
        read("c.rtf", "no RTF at all")


def book(*chapters: str) -> bytes:
    buffer = io.BytesIO()
    items = "".join(f'<item id="c{i}" href="t%20{i}.xhtml"/>' for i in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{i}"/>' for i in reversed(range(len(chapters))))
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OPS/p.opf"/></rootfiles></container>',
        )
        archive.writestr(
            "OPS/p.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
            "<dc:title>Tides</dc:title><dc:creator>R. Moss</dc:creator>"
            "<dc:language>en-GB</dc:language></metadata>"
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
        )
        for i, chapter in enumerate(chapters):
            archive.writestr(f"OPS/t {i}.xhtml", f"<html><body>{chapter}</body></html>")
    return buffer.getvalue()


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    """Chapters are pages, in the order in which they are to be read; title, author and language are kept."""
    loaded = read("a.epub", book("<h1>Ebb</h1><p>Out.</p>", "<h1>Flood</h1><p>In.</p>"))
    assert loaded.text == "# Flood\n\nIn.\n\n# Ebb\n\nOut."
    assert [loaded.text[heading.offset :][:4] for heading in loaded.headings] == ["# Fl", "# Eb"]
    assert [page.page for page in loaded.pages] == [1, 2]
    assert (loaded.title, loaded.metadata["author"], loaded.metadata["lang"]) == ("Tides", "R. Moss", "en")


def odt(body: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr(
            "content.xml",
            '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
            'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
            'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"><office:body><office:text>'
            f"{body}</office:text></office:body></office:document-content>",
        )
    return buffer.getvalue()


def test_an_odt_is_read_as_writer_shows_it() -> None:
    """Headings, lists, notes, spaces and spanned cells; deleted text is gone."""
    cell = "<table:table-cell>{}</table:table-cell>"
    rows = [("Tool", "Count"), ("saw", "2"), ("file", "5")]
    table = "".join(
        "<table:table-row>"
        + "".join(cell.format(f"<text:p>{text}</text:p>") for text in row)
        + "</table:table-row>"
        for row in rows
    )
    body = (
        "<text:tracked-changes><text:p>Gone.</text:p></text:tracked-changes>"
        '<text:h text:outline-level="2">Workshop</text:h>'
        '<text:p>Keep<text:s text:c="2"/>dry<text:note>'
        "<text:note-citation>1</text:note-citation><text:note-body>"
        "<text:p>Below 40 %.</text:p></text:note-body></text:note>.</text:p>"
        "<text:list><text:list-item><text:p>oil</text:p></text:list-item></text:list>"
        f"<table:table>{table}</table:table>"
    )
    assert read("a.odt", odt(body)).text.split("\n\n") == [
        "## Workshop",
        "Keep dry[^1].",
        "[^1]: Below 40 %.\n- oil",
        "Tool: saw; Count: 2\nTool: file; Count: 5",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.srt",
            "1\n00:00:01,000 --> 00:00:03,000\nOpen the lid.\n\n"
            "2\n01:02:05,500 --> 01:02:08,000\n<i>Close</i> it.\n",
        ),
        (
            "a.vtt",
            "WEBVTT\n\n00:01.000 --> 00:03.000\nOpen the lid.\n\n"
            "01:02:05.500 --> 01:02:08.000\n<i>Close</i> it.\n",
        ),
    ],
)
def test_subtitles_are_cited_with_their_time(name: str, text: str) -> None:
    """What is said is the text; when it is said is its heading, which the citation shows."""
    loaded = read(name, text)
    assert loaded.text == "Open the lid.\n\nClose it."
    assert [(heading.title, loaded.text[heading.offset :][:5]) for heading in loaded.headings] == [
        ("0:00:01", "Open "),
        ("1:02:05", "Close"),
    ]


def test_cues_of_webvtt_may_have_names_and_speakers() -> None:
    """A cue's name is no word of the one before; who speaks is said."""
    first = "intro-1\n00:01.000 --> 00:03.000\n<v Ann>Hello."
    text = f"WEBVTT\n\n{first}\n\nintro-2\n00:03.000 --> 00:04.000\nBye.\n"
    assert read("a.vtt", text).text == "Ann: Hello.\nBye."


def test_source_code_is_cut_between_its_functions(tmp_path: Path) -> None:
    """A passage begins where a function does, and no function that fits is torn."""
    functions = [f"def step_{i}(x):\n    y = x + {i}\n\n    return y * {i}\n" for i in range(30)]
    path = tmp_path / "steps.py"
    path.write_text("\n\n".join(functions))
    (document,) = parsed(path).values()
    assert document.mime == "text/x-python"
    assert document.warnings == ()
    assert len(document.chunks) > 5
    for chunk in document.chunks:
        assert chunk.text.startswith("def step_")
        assert chunk.text.rstrip().splitlines()[-1].startswith("    return y")


def test_a_file_without_a_suffix_is_what_its_content_is() -> None:
    """HTML, RTF, a book and plain text are known by their content, and their MIME type says so."""
    assert read("page", "<!DOCTYPE html><title>T</title><p>Seen.</p>").text == "Seen."
    assert read("letter", rb"{\rtf1 Dear all}").text == "Dear all"
    loaded = read("book", book("<p>Once.</p>"))
    assert (loaded.text, loaded.mime) == ("Once.", "application/epub+zip")
    assert read("LICENSE", "You may.").text == "You may."
