"""The pages of collections: lists, documents and passages, uploads, jobs, deletions."""

from __future__ import annotations

import html
import io
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest

from retrieval.models.hub import DEFAULT_MODEL, MINILM
from tests.support.serving import DOCUMENTS, Server, ingested, serving
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy

HTML = {"accept": "text/html"}
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7777*7}}"
HOSTILE_DOCUMENT = (
    f"# {HOSTILE} title\n\nText </p><script>alert(1)</script> \u202egnp.exe {HOSTILE}\n\n"
    "## </h3><svg onload=alert(1)>\n\nMore text, so that there is something to find.\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over three documents and a collection of sixty, some hostile or refused.

    `english` has the three documents, too, and an encoder that reads no Chinese.
    """
    folder = tmp_path_factory.mktemp("collections 文档库")
    ingested(folder, collection="english", encoder={"model": MINILM})
    data = ingested(folder)
    many = folder / "many"
    many.mkdir()
    for number in range(57):
        (many / f"note {number:02d}.md").write_text(f"# Note {number}\n\nIt is about {number}.\n", "utf-8")
    (many / f"{HOSTILE}.md").write_text(HOSTILE_DOCUMENT, "utf-8")
    (many / "copy of 01.md").write_bytes((many / "note 01.md").read_bytes())
    (many / f"{HOSTILE}.pdf").write_bytes(b"nothing of the kind")
    with RAGPipeline.from_settings(Settings.load(data_dir=data)) as pipeline:
        pipeline.ingest(many, collection="many")
    with serving(Settings.load(data_dir=data, server={"upload_bytes": 100_000})) as running:
        yield running


def _page(server: Server, path: str, **query: str) -> str:
    reply = server.get(path, params=query or None, headers=HTML)
    assert reply.status_code == 200, reply.text
    _check_escaped(reply.text)
    return reply.text


class _Hostile(HTMLParser):
    """Finds anything a browser would run or fetch, except the server's own static files."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        outside = [one for one in (given.get("src"), given.get("href")) if one and one[0] not in "/?#"]
        ours = tag not in ("img", "iframe", "script") or given.get("src", "").startswith("/static/")
        if not ours or outside or any(name.startswith("on") for name in given):
            self.found.append(self.get_starttag_text() or tag)


def _check_escaped(text: str) -> None:
    """Assert that documents added no element or attribute, ran no template, and turned no text."""
    parser = _Hostile()
    parser.feed(text)
    assert not parser.found
    assert "54439" not in text
    assert "\u202e" not in text


def _names(text: str) -> list[str]:
    """Return the documents of a list, in order."""
    return re.findall(r'<th scope="row">\s*<a href="[^"]*">([^<]*)</a>', text)


def _document(server: Server, collection: str, words: str) -> str:
    """Return the id of the document that the words find."""
    query = {"collection": collection, "text": words}
    [row] = server.get("/v1/documents", params=query).json()["documents"]
    return str(row["id"])


def _upload(server: Server, *files: tuple[str, bytes], collection: str) -> httpx2.Response:
    parts = [("file", (name, io.BytesIO(content))) for name, content in files]
    return server.post("/collections", files=parts, data={"collection": collection}, headers=HTML)


def _ended(server: Server, started: httpx2.Response) -> str:
    """Wait until a job has ended, and return that part of its page."""
    assert started.status_code == 303, started.text
    while "data-ended" not in (text := server.get(f"{started.headers['location']}?part=true").text):
        time.sleep(0.05)
    _check_escaped(text)
    return text


def test_collections_are_listed_with_size_encoder_and_problems(server: Server) -> None:
    """The list shows each collection's size, encoder, problems and unreadable languages."""
    text = _page(server, "/collections")
    assert 'href="/collections/default"' in text
    assert f"{len(DOCUMENTS)} documents" in text
    assert "59 documents" in text
    assert "1 refused" in text
    assert "1 with warnings" in text  # the Chinese one
    assert DEFAULT_MODEL in text
    assert "English and Chinese" in text
    assert MINILM in text
    assert "Chinese is found by its words only" in text
    assert "At most 100 files and 97.7 KB at once." in text


def test_documents_come_a_page_at_a_time(server: Server) -> None:
    """Documents are listed by path in pages; a page beyond the last shows the last."""
    pages = [_page(server, "/collections/many", page=str(n)) for n in (1, 2, 3, 99)]
    found = [name for text in pages[:3] for name in _names(text)]
    assert len(found) == 60
    assert found[3:5] == ["Note 0", "Note 1"]
    assert _names(pages[3]) == _names(pages[2])
    assert 'rel="next"' in pages[0]
    assert 'rel="prev"' not in pages[0]
    assert 'rel="next"' not in pages[2]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"text": "note 07"}, ["Note 7"]),
        ({"text": "NOTE 7.MD"}, ["Note 7", "Note 17", "Note 27", "Note 37", "Note 47"]),
        ({"show": "duplicate"}, ["Note 1"]),
        ({"show": "warned"}, []),
        ({"text": "%"}, []),
    ],
)
def test_documents_are_found_by_words_and_status(
    server: Server, query: dict[str, str], found: list[str]
) -> None:
    """Documents are found by path, title and status, and an empty result says so."""
    text = _page(server, "/collections/many", **query)
    assert set(found) <= set(_names(text))
    assert found or "No document matches." in text
    assert len(_names(text)) < 60


def test_a_refused_document_says_why(server: Server) -> None:
    """A refusal's reason is in the list, on the document's page and in the run's report."""
    listed = _page(server, "/collections/many", show="refused")
    assert "its suffix says PDF" in listed
    assert listed.count("its suffix says PDF") >= 2  # the last run's report, too
    own = _page(server, f"/collections/many/documents/{_document(server, 'many', '.pdf')}")
    assert "Refused because" in own
    assert "damaged: " in own
    chinese = _page(server, f"/collections/many/documents/{_document(server, 'many', '.pdf')}", lang="zh")
    server.cookies.clear()
    assert "被拒绝的原因" in chinese
    assert "已损坏：" in chinese


def test_a_document_shows_its_passages(server: Server) -> None:
    """A document shows its passages with span, headings and counts; hostile text stays text."""
    own = _page(server, f"/collections/many/documents/{_document(server, 'many', 'onerror title')}")
    shown = html.unescape(own)
    assert "Text </p><script>alert(1)</script> gnp.exe" in shown
    assert HOSTILE in shown
    assert re.search(r"characters 0–\d+", own)
    assert re.search(r"\d+ tokens", own)
    assert re.search(r"\d+ terms", own)
    chinese = f"documents/{_document(server, 'default', '重排')}"
    assert "the encoder cannot read it" in _page(server, f"/collections/english/{chinese}")
    assert "the encoder cannot read it" not in _page(server, f"/collections/default/{chinese}")
    copy = _page(server, f"/collections/many/documents/{_document(server, 'many', 'note 01 many/note')}")
    assert "Its content is the same as that of" in copy


@pytest.mark.parametrize(
    "path",
    [
        "/collections/nothing",
        "/collections/..%2F..%2Fetc",
        "/collections/many/documents/nothing",
        "/collections/many/documents/nothing/delete",
        "/collections/many/jobs/nothing",
        f"/collections/{HOSTILE.replace('/', '')}",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(server: Server, path: str) -> None:
    """A missing page is a readable 404 that shows no markup from the address."""
    reply = server.get(path, headers=HTML)
    assert reply.status_code == 404
    assert reply.headers["content-type"].startswith("text/html")
    _check_escaped(reply.text)


def test_an_upload_without_scripts_leads_to_its_job(server: Server) -> None:
    """An upload without scripts redirects to its job's page, with a result for every file."""
    started = _upload(
        server, ("kiwis.md", b"# Kiwis\n\nThey are green.\n"), ("bad.pdf", b"no"), collection="水果"
    )
    assert started.headers["location"].startswith("/collections/%E6%B0%B4%E6%9E%9C/jobs/")
    ended = _ended(server, started)
    assert re.search(r'class="badge refused">refused</span>\s*<strong[^>]*>bad\.pdf', ended)
    assert "its suffix says PDF" in ended
    assert re.search(r'class="badge ingested">ingested</span>\s*<a href="[^"]*"[^>]*>kiwis\.md', ended)
    whole = _page(server, started.headers["location"])
    assert "kiwis.md" in whole
    assert 'http-equiv="refresh"' not in whole  # it has ended
    assert _names(_page(server, "/collections/水果", show="ingested")) == ["Kiwis"]


def test_hostile_file_names_are_only_text(server: Server) -> None:
    """Hostile file names stay text in the job, the list and the document's page."""
    name = "<svg onload=alert(1)> \u202egnp &amp; 'x'.md"
    ended = _ended(server, _upload(server, (name, HOSTILE_DOCUMENT.encode()), collection="hostile"))
    assert "onload=alert(1)" in html.unescape(ended)
    _page(server, "/collections/hostile")
    _page(server, f"/collections/hostile/documents/{_document(server, 'hostile', '')}")


def test_a_limit_that_is_hit_is_a_page_that_says_so(server: Server) -> None:
    """Too many bytes, no file or an invalid name gives a page that says so."""
    large = _upload(server, ("large.txt", b"x" * 200_000), collection="many")
    assert large.status_code == 413
    assert "Too large" in large.text
    empty = server.post("/collections", data={"collection": "many"}, headers=HTML)
    assert (empty.status_code, "there is no file" in empty.text) == (400, True)
    assert _upload(server, ("a.md", b"text"), collection="../x").status_code == 400


def test_deleting_asks_first(server: Server) -> None:
    """Deleting takes a confirmation; its POST removes document, passages and uploaded file."""
    _ended(server, _upload(server, ("gone.md", b"# Gone\n\nSoon.\n"), collection="bin"))
    identifier = _document(server, "bin", "gone")
    path = f"/collections/bin/documents/{identifier}"
    asked = _page(server, f"{path}/delete")
    assert f'method="post" action="{path}/delete"' in asked
    assert "The file was uploaded and will be deleted too." in asked
    assert server.get(path, headers=HTML).status_code == 200
    done = server.post(f"{path}/delete", headers=HTML)
    assert (done.status_code, done.headers["location"]) == (303, "/collections/bin?deleted=1")
    assert "The document was deleted." in _page(server, done.headers["location"])
    assert server.get(path, headers=HTML).status_code == 404
    assert not list((server.pipeline.settings.uploads_dir / "bin").iterdir())


def test_a_collection_that_cannot_be_asked_hides_no_other(tmp_path: Path) -> None:
    """An unusable or damaged collection says so on its card, and the others stay usable."""
    data = ingested(tmp_path)
    settings = Settings.load(data_dir=data)
    with RAGPipeline.from_settings(settings) as pipeline:
        pipeline.ingest(tmp_path / "docs 文档", collection="damaged")
    fingerprint = settings.collections_dir / "default" / "fingerprint.json"
    other = fingerprint.read_text("utf-8").replace(DEFAULT_MODEL, "another-model")
    fingerprint.write_text(other, "utf-8")
    (settings.collections_dir / "damaged" / "fingerprint.json").write_text("{", "utf-8")
    (settings.collections_dir / "default" / "shard-0a1b2c3d").mkdir()
    with serving(Settings.load(data_dir=data, collection="fresh")) as server:
        # looking at it opens it, which tidies it up
        assert "shard-0a1b2c3d：未在使用" in _page(server, "/collections/default", lang="zh")
        text = _page(server, "/collections", lang="en")
        assert "It was built with different settings" in text
        assert "--reindex -c default" in text
        assert 'href="/collections/damaged"' in text
        assert text.count('class="problem"') >= 1
        assert len(_names(_page(server, "/collections/default"))) == len(DOCUMENTS)


def test_a_page_without_collections_says_what_to_do(tmp_path: Path) -> None:
    """Without collections the page says how to make one."""
    with serving(Settings.load(data_dir=tmp_path / "data")) as server:
        text = _page(server, "/collections")
        assert "There are no collections yet." in text
        assert 'type="file"' in text
        assert "还没有文档库" in _page(server, "/collections", lang="zh")


def test_a_reader_is_offered_nothing_that_changes_things(tmp_path: Path) -> None:
    """A read-only token is offered no upload or deletion, and the server refuses both."""
    from winnow.server.tokens import TokenBook

    data = ingested(tmp_path)
    with serving(Settings.load(data_dir=data, server={"host": "0.0.0.0"})) as server:
        book = TokenBook(server.pipeline.settings.tokens_file)
        for scope, offered in (("read", False), ("full", True)):
            _, text = book.create(scope, "full" if offered else "read")
            own = {**HTML, "origin": server.url}
            assert server.post("/login", data={"token": text}, headers=own).status_code == 303
            path = f"/collections/default/documents/{_document(server, 'default', 'fruit')}"
            assert ('type="file"' in _page(server, "/collections")) is offered
            assert (f"{path}/delete" in _page(server, path)) is offered
            status = 303 if offered else 403
            assert server.post(f"{path}/delete", headers=own).status_code == status
            sent = server.post("/collections", files={"file": ("a.md", b"text")}, headers=own)
            assert sent.status_code == status
            server.cookies.clear()
