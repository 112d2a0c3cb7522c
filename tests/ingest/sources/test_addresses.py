"""Addresses: public and private ones, and what is none."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from ingest.sources.addresses import is_public
from ingest.sources.fetching import fetch, is_address
from ingest.sources.mirror import Mirror
from ingest.sources.web import Site
from storage.errors import BadInputError
from tests.support.site import LocalSite, Page


def test_private_addresses_are_refused_at_every_turn(web: LocalSite, mirrors: Mirror) -> None:
    """By number, by name and behind a redirection, which is followed where its address is allowed."""
    port = web.url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0"):
        _, left = fetch([f"http://{host}:{port}/guide/pump"], mirrors.folder, private=False)
        assert "private address" in left[0].reason
    assert web.asked == []

    web.pages["/away"] = Page(status=302, headers={"Location": f"http://127.0.0.2:{port}/guide/pump"})
    web.pages["/here"] = Page(status=302, headers={"Location": "/guide/pump"})
    web.pages["/round"] = Page(status=302, headers={"Location": "/round"})
    web.pages["/file"] = Page(status=302, headers={"Location": "file:///etc/hostname"})
    with closing(Site(mirrors, lambda address: address == "127.0.0.1")) as site:
        assert len(site.fetch(f"{web.url}/here")) == 1
        for path in ("/away", "/round", "/file"):
            assert site.fetch(web.url + path) == []
        reasons = [one.reason for one in site.unfetched]
    assert "127.0.0.2" in reasons[0]
    assert "leads on" in reasons[1]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b:1::7f00:1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_public_addresses_are_told_from_private_ones(address: str, *, public: bool) -> None:
    """Loopback, networks of one's own, metadata services, and IPv4 wrapped in IPv6."""
    assert is_public(address) is public


def test_what_is_an_address_and_what_is_not() -> None:
    """A Path is never one; unknown kinds and names with passwords are refused with a way out."""
    assert is_address("https://example.org")
    assert not any(map(is_address, ("docs/a.md", "C:\\docs", Path("https://example.org"))))
    for wrong in ("ftp://example.org/a", "https://user:secret@example.org/a", "git+file://host/x"):
        with pytest.raises(BadInputError) as refused:
            fetch([wrong], Path("/nowhere"), private=False)
        assert "secret" not in str(refused.value)
