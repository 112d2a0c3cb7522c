"""Pages, repositories and objects: what is fetched, what is not, and that nothing is fetched twice."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import fsspec
import pytest

from ingest.sources import git, objects
from ingest.sources.addresses import is_public
from ingest.sources.fetching import fetch, is_address
from ingest.sources.mirror import MOST_BYTES, Mirror, origin_of
from ingest.sources.web import Site
from storage.errors import BadInputError
from tests.support.site import LocalSite, Page, local_site

TORQUE = b"<title>Pump</title><p>The torque is 25 Nm."


@pytest.fixture
def web() -> Iterator[LocalSite]:
    with local_site({"/guide/pump": Page(TORQUE, headers={"ETag": '"1"'})}) as site:
        yield site


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "fetched")


def fetched(url: str, mirrors: Mirror) -> tuple[list[Path], dict[str, str]]:
    """The copies of a page or sitemap, and why each of the others was not had."""
    paths, left = fetch([url], mirrors.folder, private=True)
    return paths, {one.url: one.reason for one in left}


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


def test_robots_txt_is_obeyed(web: LocalSite, mirrors: Mirror) -> None:
    """What it disallows is not asked for; a host whose robots.txt fails is left alone."""
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


def _repository(folder: Path) -> Path:
    def run(*arguments: str) -> None:
        who = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, "-C", folder, *arguments], check=True, capture_output=True)

    (folder / "docs").mkdir(parents=True)
    (folder / "docs/a b.md").write_text("# First\n\nOne.", encoding="utf-8")
    (folder / "root.txt").write_text("Root.", encoding="utf-8")
    (folder / "data.bin").write_bytes(b"\0")
    (folder / "link.md").symlink_to("/etc/hostname")
    run("init")
    run("add", ".")
    run("commit", "-m", "one")
    run("tag", "v1")
    (folder / "docs/a b.md").write_text("# First\n\nTwo.", encoding="utf-8")
    run("rm", "-q", "root.txt")
    run("commit", "-am", "two")
    return folder


def test_a_repository_is_copied_as_it_was_at_a_revision(tmp_path: Path, mirrors: Mirror) -> None:
    """Files of known formats, without links, of a tag or HEAD, of all or a folder; what left is removed."""
    repository = _repository(tmp_path / "repo")
    paths, _ = fetch(
        [f"git+file://{repository}@v1", f"git+file://{repository}"], mirrors.folder, private=False
    )
    old, new = paths
    assert (old / "docs/a b.md").read_text() == "# First\n\nOne."
    assert (old / "root.txt").exists()
    assert [path.name for path in new.rglob("*") if path.is_file() and ".fetched" not in path.parts] == [
        "a b.md"
    ]
    assert (new / "docs/a b.md").read_text() == "# First\n\nTwo."
    origin = origin_of(old / "docs/a b.md")
    assert origin is not None
    assert origin.url == f"git+file://{repository}@v1#docs/a b.md"
    (part,), _ = fetch([f"git+file://{repository}@v1#docs"], mirrors.folder, private=False)
    assert not (part / "root.txt").exists()
    for wrong in ("@nosuch", "@--output=x"):
        with pytest.raises(BadInputError):
            git.copy(git.Revision.parse(f"git+file://{repository}{wrong}"), mirrors)


def test_nothing_that_a_repository_names_is_run(
    tmp_path: Path, mirrors: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing object is not fetched by a command of its settings; filters and hooks stay unused."""
    repository, ran = _repository(tmp_path / "repo"), tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {ran}\n")
    trap.chmod(0o700)
    (repository / ".git/info/attributes").write_text("*.md filter=trap diff=trap\n")
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc"):
        (repository / ".git/hooks" / hook).symlink_to(trap)
    with (repository / ".git/config").open("a") as config:
        config.write(
            "[extensions]\npartialClone = origin\n[protocol]\nallow = always\n"
            f'[protocol "ext"]\nallow = always\n[core]\nfsmonitor = {trap}\nsshCommand = {trap}\n'
            f'[filter "trap"]\nsmudge = {trap}\n[diff "trap"]\ntextconv = {trap}\n'
            '[remote "origin"]\npromisor = true\npartialclonefilter = blob:none\n'
        )

    def git_there(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", repository, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    blob = git_there("rev-parse", "v1:root.txt")
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for remote in (f"ext::{trap}", f"ssh://host{repository}", repository.as_uri()):
        git_there("config", "remote.origin.url", remote)
        git_there("config", "remote.origin.uploadpack", f"{trap};")
        (folder,), left = fetch([f"git+file://{repository}@v1"], mirrors.folder, private=False)
        assert (folder / "docs/a b.md").read_text() == "# First\n\nOne."
        assert [one.url for one in left] == [f"git+file://{repository}@v1#root.txt"]
        assert not ran.exists()
    monkeypatch.setenv("GIT_DIR", str(_repository(tmp_path / "other") / ".git"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError):
        fetch([f"git+file://{tmp_path}/empty"], mirrors.folder, private=False)


def test_objects_of_a_store_are_copied_when_their_version_is_another(mirrors: Mirror) -> None:
    """Only what changed is read; what is gone leaves; a prefix with nothing below it is an error."""
    store = fsspec.filesystem("memory", skip_instance_cache=True)
    store.pipe({"/bucket/docs/a.md": b"# A", "/bucket/docs/in/b.txt": b"B", "/bucket/docs/c.bin": b"\0"})
    name, left = objects.copy("s3://bucket/docs", mirrors, store)
    folder = mirrors.path(name)
    assert (folder / "a.md").read_bytes() == b"# A"
    assert (folder / "in/b.txt").read_bytes() == b"B"
    assert not (folder / "c.bin").exists()
    assert left == []
    store.rm("/bucket/docs/in/b.txt")
    objects.copy("s3://bucket/docs", mirrors, store)
    assert not (folder / "in/b.txt").exists()
    with pytest.raises(BadInputError, match="nothing below"):
        objects.copy("s3://bucket/none", mirrors, store)


def test_an_object_that_cannot_be_had_leaves_the_others(mirrors: Mirror) -> None:
    """A key that is no name of a file is reported, and one that fails; none leads out of the folder."""
    odd = ("../../../out.md", "in//a.md", "in/../a.md", "/a.md")
    wrong = ("a.md/b.md", ".fetched/c.md", "z\0.md", f"{'n' * 300}.md")
    keys = ("0/denied.md", "a.md", *odd, *wrong)

    class Store:
        def find(self, prefix: str, detail: bool) -> dict[str, dict[str, object]]:
            return {f"{prefix}/{key}": {"ETag": key, "size": 3} for key in keys}

        def cat_file(self, path: str) -> bytes:
            if "denied" in path:
                raise PermissionError("Access Denied")
            return b"# A"

    store = Store()
    name, left = objects.copy("s3://lake/docs", mirrors, store)
    copies = list(mirrors.folder.parent.rglob("*.md"))
    assert len(copies) == 1 + len(odd)
    assert {path.parent for path in copies} == {mirrors.path(name)}
    assert len(left) == 1 + len(wrong)
    assert "Access Denied" in next(one.reason for one in left if "denied" in one.url)
    assert objects.copy("s3://lake/docs", mirrors, store)[1] == left
    for address in ("s3://", "s3:///docs"):
        with pytest.raises(BadInputError, match="no bucket"):
            objects.copy(address, mirrors, store)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_bucket_is_read_over_http_as_s3_speaks(
    tmp_path: Path, mirrors: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real s3fs, at a store of the tests' own: read once, and again when the ETag is another."""
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    with local_site() as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        _put(store, b"# Pump", "1")
        (folder,), left = fetch(["s3://bucket/docs"], mirrors.folder, private=False)
        assert left == []
        assert (folder / "pump.md").read_bytes() == b"# Pump"
        fetch(["s3://bucket/docs"], mirrors.folder, private=False)
        assert sum(path.startswith("/bucket/docs/pump.md") for _, path in store.asked) == 1
        _put(store, b"# Pump 2", "2")
        fetch(["s3://bucket/docs"], mirrors.folder, private=False)
        assert (folder / "pump.md").read_bytes() == b"# Pump 2"


def _put(store: LocalSite, body: bytes, tag: str) -> None:
    """Make the one object of a bucket, and the list that holds it."""
    listed = (
        "<ListBucketResult><Name>bucket</Name><Prefix>docs/</Prefix><KeyCount>1</KeyCount>"
        "<IsTruncated>false</IsTruncated><Contents><Key>docs/pump.md</Key><Size>"
        f"{len(body)}</Size><ETag>&quot;{tag}&quot;</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        "</Contents></ListBucketResult>"
    )
    store.pages["/bucket?list-type=2"] = Page(listed.encode(), "application/xml")
    store.pages["/bucket/docs/pump.md"] = Page(body, "text/markdown", headers={"ETag": f'"{tag}"'})
