"""Pages and sitemaps: what is copied, asked for again, limited or gone."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress

import pytest

from ingest.sources.fetching import fetch
from ingest.sources.mirror import MOST_BYTES, Mirror, origin_of
from ingest.sources.web import Site
from tests.support.site import TORQUE, LocalSite, Page, fetched


def test_a_page_is_copied_with_its_address_and_asked_for_only_when_it_changed(
    web: LocalSite, mirrors: Mirror
) -> None:
    """The second time the server is asked with the ETag, sends nothing, and the copy stays as it is."""
    url = f"{web.url}/guide/pump"
    (first,), _ = fetched(url, mirrors)
    assert (first.suffix, first.read_bytes()) == (".html", TORQUE)
    origin = origin_of(first)
    assert origin is not None
    assert origin.url == url
    written = first.stat().st_mtime_ns
    assert fetched(url, mirrors) == ([first], {})
    assert [status for status, path in web.asked if path == "/guide/pump"] == [200, 304]
    assert first.stat().st_mtime_ns == written

    web.pages["/guide/pump"] = Page(b"<p>It is 30 Nm now.", headers={"ETag": '"2"'})
    assert fetched(url, mirrors)[0] == [first]
    assert first.read_bytes() == b"<p>It is 30 Nm now."


def test_a_page_that_is_gone_takes_its_copy_with_it(web: LocalSite, mirrors: Mirror) -> None:
    """404 removes the copy, so that --prune forgets the document; trouble of the server does not."""
    url = f"{web.url}/guide/pump"
    (copy,), _ = fetched(url, mirrors)
    web.pages["/guide/pump"] = Page(status=503)
    assert "503" in fetched(url, mirrors)[1][url]
    assert copy.exists()
    del web.pages["/guide/pump"]
    assert "404" in fetched(url, mirrors)[1][url]
    assert not copy.exists()


def test_a_sitemap_means_its_pages_on_the_same_host(web: LocalSite, mirrors: Mirror) -> None:
    """Lists of lists are followed, each page once; other hosts are left out."""
    web.pages |= {
        "/sitemap.xml": Page(
            f"<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><sitemap><loc>{web.url}/a.xml"
            "</loc></sitemap></sitemapindex>".encode(),
            "application/xml",
        ),
        "/a.xml": Page(
            f"<urlset><url><loc>{web.url}/guide/pump</loc></url><url><loc> {web.url}/n.md </loc></url>"
            f"<url><loc>{web.url}/n.md</loc></url><url><loc>http://elsewhere.invalid/x</loc></url>"
            f"<url><loc>http://[broken</loc></url><url><loc>{web.url}/none</loc></url></urlset>".encode(),
            "text/xml",
        ),
        "/n.md": Page(b"# Note\n\nText.", "text/plain"),
    }
    paths, left = fetched(f"{web.url}/sitemap.xml", mirrors)
    assert sorted(path.suffix for path in paths) == [".html", ".md"]
    assert list(left) == [f"{web.url}/none"]


def test_a_sitemap_that_moved_means_the_pages_of_its_new_host(web: LocalSite, mirrors: Mirror) -> None:
    """A site that is now `www.` lists pages of that name."""
    port = web.url.rpartition(":")[2]
    there = f"http://localhost:{port}"
    web.pages["/s.xml"] = Page(status=301, headers={"Location": f"{there}/new.xml"})
    web.pages["/new.xml"] = Page(
        f"<urlset><loc>{there}/guide/pump</loc><loc>{web.url}/other</loc></urlset>".encode(), "text/xml"
    )
    paths, left = fetched(f"{web.url}/s.xml", mirrors)
    assert [origin_of(path).url for path in paths] == [f"{there}/guide/pump"]  # type: ignore[union-attr]
    assert left == {}


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"])
def test_a_page_has_so_much_time_and_no_more(begin: bytes, mirrors: Mirror) -> None:
    """A server that sends a byte now and then is cut off, and what it sent is no page."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with suppress(OSError):
                while True:
                    with server.accept()[0] as there:
                        robots = there.recv(4096).startswith(b"GET /robots.txt")
                        there.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n" if robots else begin)
                        while not robots and not over.wait(0.05):
                            there.sendall(b"H")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with closing(Site(mirrors, lambda _: True, seconds=0.5)) as site:
            started = time.monotonic()
            assert site.fetch(f"http://127.0.0.1:{server.getsockname()[1]}/x") == []
            assert time.monotonic() - started < 5
            assert site.unfetched[0].reason == "it takes longer than 1 s"
        over.set()
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_addresses_that_read_alike_have_copies_of_their_own(web: LocalSite, mirrors: Mirror) -> None:
    """A slash at the end, a suffix that is not there, another case or query: none takes another's copy."""
    alike = ("/", "/index", "/index.html", "/a", "/a/", "/a.html", "/A", "/a?x=1", "/a?X=1", "/a/?x=1")
    web.pages |= {path: Page(f"<p>This is {path}.".encode(), headers={"ETag": f'"{path}"'}) for path in alike}
    for _ in range(2):
        copies, left = fetch([web.url + path for path in alike], mirrors.folder, private=True)
        assert left == []
        assert [copy.read_text() for copy in copies] == [f"<p>This is {path}." for path in alike]
    assert sum(status == 304 for status, _ in web.asked) == len(alike)


def test_types_and_sizes_are_limited(web: LocalSite, mirrors: Mirror) -> None:
    """A type that no parser reads and a page without end are refused; what is packed was not asked for."""
    web.pages |= {
        "/video": Page(b"\0" * 10, "video/mp4"),
        "/endless": Page(b"a" * (MOST_BYTES + 1), "text/plain"),
        "/packed": Page(b"..", headers={"Content-Encoding": "gzip"}),
        "/script.php?x=1": Page(b"<p>A page.", "text/html"),
        "/paper": Page(b"%PDF-1.4 ...", "application/pdf"),
    }
    for path, why in (("/video", "video/mp4"), ("/endless", "bytes"), ("/packed", "packed")):
        assert why in fetched(web.url + path, mirrors)[1][web.url + path]
    for path, suffix in (("/script.php?x=1", ".html"), ("/paper", ".pdf")):
        assert fetched(web.url + path, mirrors)[0][0].suffix == suffix
