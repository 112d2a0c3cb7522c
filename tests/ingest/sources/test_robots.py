"""robots.txt is obeyed, and told from one that cannot be read."""

from __future__ import annotations

from contextlib import closing

from ingest.sources.mirror import Mirror
from ingest.sources.web import Site
from tests.support.site import LocalSite, Page, fetched


def test_robots_txt_is_obeyed(web: LocalSite, mirrors: Mirror) -> None:
    """Pages that it disallows are not asked for; a host whose robots.txt fails is left alone."""
    web.pages["/robots.txt"] = Page(b"User-agent: *\nDisallow: /guide\nCrawl-delay: 3\n", "text/plain")
    web.pages["/open"] = web.pages["/open2"] = Page(b"<p>Open.")
    url = f"{web.url}/guide/pump"
    assert "robots.txt" in fetched(url, mirrors)[1][url]
    assert (200, "/guide/pump") not in web.asked
    web.pages["/m.xml"] = Page(
        f"<urlset><loc>{web.url}/open</loc><loc>{web.url}/open2</loc></urlset>".encode(), "text/xml"
    )
    pauses: list[float] = []
    with closing(Site(mirrors, lambda _: True, pauses.append)) as site:
        assert len(site.fetch(f"{web.url}/m.xml")) == 2
    assert pauses == [3.0]
    web.pages["/robots.txt"] = Page(status=500)
    assert "robots.txt" in fetched(f"{web.url}/open", mirrors)[1][f"{web.url}/open"]


def test_a_robots_txt_that_cannot_be_read_is_told_from_one_that_forbids(
    web: LocalSite, mirrors: Mirror
) -> None:
    """Lines without sense are passed over, it may have moved, and a host that is not there is called that."""
    rules = "User-agent: *\nCrawl-delay: ²\nDisallow: //[x\nCrawl-delay: {}\nDisallow: /guide\n".format(
        "9" * 5000
    )
    web.pages["/rules"] = Page(rules.encode(), "text/plain")
    web.pages["/robots.txt"] = Page(status=301, headers={"Location": "/rules"})
    web.pages["/open"] = Page(b"<p>Open.")
    with closing(Site(mirrors, lambda _: True)) as site:
        assert len(site.fetch(f"{web.url}/open")) == 1
        assert site.fetch(f"{web.url}/guide/pump") == []
        assert site.fetch("http://127.0.0.1:1/x") == site.fetch("http://127.0.0.1:1/y") == []
        told = [one.reason.split(":")[0] for one in site.unfetched]
    assert told == ["the site's robots.txt does not allow it", *["the server gives no reply"] * 2]
